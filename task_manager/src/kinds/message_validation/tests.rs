//! Compares the full-text engines with the meaning of queries.

use common::message::Category;
use common::task::UserId;
use futures_util::future::join_all;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use uuid::Uuid;

use super::NewMessage;
use super::reindexing::Terms;
use super::search::Search;
use super::store::{self, Filter, PageStart};
use crate::backend::{Backend, backend_tests};
use crate::backfill;
use crate::db::own::OwnDatabase;

backend_tests![both_engines_find_what_a_query_means, terms_of_older_versions_are_recomputed,];

const USER: UserId = UserId(Uuid::from_u128(1));
const STRANGER: UserId = UserId(Uuid::from_u128(2));

/// Words that are short or long, stop words, operators, of a common prefix, or of other scripts.
fn vocabulary() -> Vec<String> {
    let long = ["a".repeat(90), format!("{}b", "a".repeat(90)), "й".repeat(40)];
    let plain = "a the to is on i I İ ı STRAẞE H₂O h2o x² ﻣﺮﺣﺒﺎ red Reddish RED café cafe naïve Straße STRASSE 7 70 700 x_y don't \
                 foo-bar bar.foo NEAR AND or not привет Привета ΟΔΟΣ οδος 東京 京東 東 カタカナ カタ 안녕 مرحبا \
                 🎉 🎉🎉 👩\u{200d}🚀 ½ ﬁne ( + - * @ ~ < > ; ' \\ %";
    plain.split(' ').map(str::to_owned).chain(long).collect()
}

fn sentence(random: &mut StdRng, words: &[String], longest: usize) -> Vec<String> {
    let length = random.random_range(1..=longest);
    (0..length).map(|_| words[random.random_range(0..words.len())].clone()).collect()
}

fn query(random: &mut StdRng, words: &[String]) -> String {
    let parts =
        sentence(random, words, 3).into_iter().map(|word| match random.random_range(0..4) {
            0 => format!("\"{}\"", sentence(random, words, 3).join(" ")),
            1 => {
                let start = random.random_range(1..=word.chars().count());
                format!("{}*", word.chars().take(start).collect::<String>())
            }
            2 => word.to_uppercase(),
            _ => word,
        });
    parts.collect::<Vec<_>>().join(" ")
}

async fn both_engines_find_what_a_query_means(backend: Backend) {
    let own = OwnDatabase::migrated(backend).await;
    let words = vocabulary();
    let mut random = StdRng::seed_from_u64(7);
    let new = |user, message| NewMessage {
        id: Uuid::now_v7(),
        user,
        message,
        request_count: None,
        category: Category::Direct,
        created_at: common::clock::now().naive_utc(),
    };
    let texts: Vec<String> = (0..400).map(|_| sentence(&mut random, &words, 8).join(" ")).collect();
    let mut messages: Vec<NewMessage> = texts.iter().cloned().map(|text| new(USER, text)).collect();
    messages.extend(texts.iter().cloned().map(|text| new(STRANGER, text)));
    own.db.write(move |conn| store::insert(conn, &messages)).await.unwrap();

    let mut hits = 0;
    for round in 0..400 {
        let text = query(&mut random, &words);
        let search = Search::parse(&text);
        let mut expected: Vec<_> = texts.iter().filter(|text| search.matches(text)).collect();
        expected.sort();
        let start = if round % 2 == 0 { PageStart::Newest(None) } else { PageStart::Best(0) };
        let found = own
            .db
            .read(move |conn| store::search(conn, USER, &search, &Filter::default(), start, 1_000));
        let found = found.await.unwrap();
        assert!(found.iter().all(|message| message.user_id == USER.0));
        let mut found: Vec<_> = found.iter().map(|message| &message.message).collect();
        found.sort();
        assert_eq!(found, expected, "{text}: {:?}", Search::parse(&text));
        hits += found.len();
    }
    assert!(hits > 1_000, "the queries find something: {hits}");
}

async fn terms_of_older_versions_are_recomputed(backend: Backend) {
    const COUNT: i64 = 700;
    let own = OwnDatabase::migrated(backend).await;
    // Two of each hundred have outdated terms, and one has current terms.
    let row = |number: i64| match number % 100 {
        0 => (format!("{number} H₂O"), format!("qz{number} qzh qz2 qzo")),
        1 => (format!("{number} İzmir"), format!("qz{number} qzi_h3zmir")),
        2 => (format!("{number} h2o"), format!("qz{number} qzh2o")),
        _ => (format!("{number} red"), format!("qz{number} qzred")),
    };
    let insert = |from: i64, to: i64| {
        own.db.write(move |conn| {
            for number in from..to {
                let (message, terms) = row(number);
                let id = Uuid::from_u128(number as u128);
                let created_at = common::clock::now().naive_utc();
                let new = NewMessage {
                    id,
                    user: USER,
                    message,
                    request_count: None,
                    category: Category::Direct,
                    created_at,
                };
                store::insert(conn, &[new])?;
                store::set_terms(conn, number + 1, &terms)?;
            }
            Ok(())
        })
    };
    let found = async |text: &'static str| {
        let start = PageStart::Newest(None);
        let found = own.db.read(move |conn| {
            store::search(conn, USER, &Search::parse(text), &Filter::default(), start, 1_000)
        });
        found.await.unwrap().len()
    };
    insert(0, COUNT).await.unwrap();
    assert_eq!((found("h2o").await, found("izmir").await, found("\"h 2 o\"").await), (7, 0, 7));

    // Several task managers start at the same time.
    let passes = join_all((0..3).map(|_| backfill::pass::<Terms>(&own.db))).await;
    assert!(passes.iter().all(Result::is_ok), "{passes:?}");
    assert_eq!((found("h2o").await, found("izmir").await, found("\"h 2 o\"").await), (14, 7, 0));
    assert_eq!(found("red").await, 97 * 7);

    // An older version inserted rows in the meantime; then this one is restarted.
    insert(COUNT, COUNT + 100).await.unwrap();
    assert_eq!(found("h2o").await, 15);
    backfill::pass::<Terms>(&own.db).await.unwrap();
    assert_eq!((found("h2o").await, found("izmir").await), (16, 8));
}
