//! Full-text search: queries mean the same on both databases.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::app::TestApp;
use super::backend::{Backend, backend_tests};
use super::messages::load;

backend_tests![
    queries_mean_the_same_on_both_databases,
    phrases_are_found_after_concurrent_loads,
    any_text_is_a_valid_query,
];

async fn search(app: &TestApp, text: &str) -> (StatusCode, Value) {
    let request = app.request(Method::GET, "/v1/messages").query(&[("text", text)]);
    let response = request.send().await.unwrap();
    (response.status(), response.json().await.unwrap())
}

async fn queries_mean_the_same_on_both_databases(backend: Backend) {
    let app = TestApp::start(backend).await;
    let long = "Donaudampfschifffahrtsgesellschaft".repeat(4);
    let messages = [
        "The parcel 7 has arrived",                           // 0
        "7 parcels: the parcel service is at the door",       // 1
        "to be or not to be, that is the question",           // 2
        "I am on a café terrace, naïve",                      // 3
        "CAFE society",                                       // 4
        "Привет, мир! Погода хорошая",                        // 5
        "Η ΟΔΟΣ είναι μεγάλη",                                // 6
        "東京都は日本の首都です",                             // 7
        "مرحبا بالعالم",                                      // 8
        "done 🎉 and shipped 👩\u{200d}🚀",                   // 9
        "see https://example.com/a_b?c=d, x@y.org",           // 10
        "a+b - c > d < e (f) ~g *h \"quoted words\" @i; end", // 11
        "'; DROP TABLE messages; --",                         // 12
        &format!("long {long}x"),                             // 13
        "C'est l’été, don't worry",                           // 14
        "안녕하세요 세계",                                    // 15
        "red apple, green pear",                              // 16
        "apple red; pear green",                              // 17
        "STRASSE und Straße",                                 // 18
        "STRAẞE",                                             // 19
        "H₂O boils, x² grows, ﬁne ５㎏",                      // 20
        "İSTANBUL ısparta ĪĮ",                                // 21
        "Donau\u{ad}dampf",                                   // 22
        "ﻣﺮﺣﺒﺎ ﻻ",                                            // 23
        "\u{1112}\u{1161}\u{11ab}\u{1100}\u{1173}\u{11af}",   // 24
        "Việt Nam, Vie\u{323}\u{302}t",                       // 25
        "नमस्ते क\u{93c}लम",                                    // 26
        "ทำงาน",                                              // 27
        "Ὀδυσσεύς ᾠδή",                                       // 28
        "ｶﾞｲﾄﾞ",                                                // 29
        "ᏣᎳᎩ",                                                // 30
    ];
    let documents: Vec<Value> =
        messages.iter().map(|message| json!({"message": message})).collect();
    assert_eq!(load(&app, &documents.into()).await["inserted"], messages.len());

    let long_start = format!("{}*", &long[..60]);
    let long_whole = format!("{long}X");
    let cases: Vec<(&str, Vec<usize>, &str)> = vec![
        ("parcel", vec![0, 1], "a word"),
        ("PARCEL the", vec![0, 1], "all words, of any case, common ones too"),
        ("parcel*", vec![0, 1], "a prefix"),
        ("parcels*", vec![1], "a prefix that is a word"),
        ("\"parcel 7\"", vec![0], "a phrase"),
        ("\"7 parcels\" door", vec![1], "a phrase and a word"),
        ("\"parcel arrived\"", vec![], "a phrase has no gaps"),
        ("\"red apple\"", vec![16], "a phrase has an order"),
        ("red apple", vec![16, 17], "words have none"),
        ("to be", vec![2], "stop words"),
        ("\"not to be\"", vec![2], "a phrase of stop words"),
        ("a", vec![3, 10, 11], "one letter"),
        ("7", vec![0, 1], "one digit"),
        ("i", vec![3, 11], "a stop word of one letter"),
        ("café", vec![3], "accents matter"),
        ("CAFÉ", vec![3], "capitals with accents"),
        ("cafe\u{301}", vec![3], "another way to write the accent"),
        ("cafe", vec![4], "no accent"),
        ("caf*", vec![3, 4], "a prefix before an accent"),
        ("привет МИР", vec![5], "Cyrillic"),
        ("пог*", vec![5], "a Cyrillic prefix"),
        ("οδος", vec![6], "a final sigma"),
        ("東京", vec![7], "a part of a sentence without blanks"),
        ("京東", vec![], "its order counts"),
        ("首都", vec![7], "in the middle"),
        ("مرحبا", vec![8, 23], "Arabic, in its presentation forms too"),
        ("ﻣﺮﺣﺒﺎ", vec![8, 23], "the other way round"),
        ("لا", vec![23], "a ligature of Arabic"),
        ("بالع*", vec![8], "an Arabic prefix"),
        ("🎉", vec![9], "an emoji"),
        ("👩\u{200d}🚀 done", vec![9], "an emoji of several, and a word"),
        ("🚀", vec![], "a part of an emoji is not a word"),
        ("안녕하세요", vec![15], "Hangul"),
        ("안녕*", vec![15], "a prefix in Hangul"),
        ("example.com", vec![10], "an address"),
        ("example", vec![10], "a part of one"),
        ("x@y.org", vec![10], "an e-mail address"),
        ("y@x.org", vec![], "the parts of an address have an order"),
        ("a_b", vec![10, 11], "punctuation separates words"),
        ("+parcel -door", vec![1], "operators have no meaning"),
        ("parcel AND door", vec![], "nor do their names"),
        ("parcel | (door)", vec![1], "nor brackets"),
        ("~quoted >words <end", vec![11], "nor weights"),
        ("*h", vec![11], "nor a star before a word"),
        ("\"quoted words\"", vec![11], "a phrase that was quoted"),
        ("\"quoted", vec![11], "a quote without an end"),
        ("\"\" parcel", vec![0, 1], "an empty phrase"),
        ("'; DROP TABLE messages; --", vec![12], "SQL is a text"),
        ("' OR '1'='1", vec![], "so is this"),
        ("%", vec![], "punctuation only"),
        ("... *** \"\" ()", vec![], "several of them only"),
        (&long_whole, vec![13], "a word longer than the engines take"),
        (&long_start, vec![13], "its start"),
        (&long, vec![], "not quite the word"),
        ("don't", vec![14], "an apostrophe"),
        ("été", vec![14], "after an apostrophe"),
        ("straße", vec![18, 19], "sharp s and ss are alike"),
        ("STRAẞE", vec![18, 19], "so is its capital"),
        ("strasse", vec![18, 19], "and ss"),
        ("\"und STRAẞE\"", vec![18], "in a phrase too"),
        ("stras*", vec![18, 19], "and in a prefix"),
        ("H2O", vec![20], "compatibility forms are normalized before words are split"),
        ("h₂o", vec![20], "both ways"),
        ("h2*", vec![20], "and in a prefix"),
        ("x2 FINE 5kg", vec![20], "superscripts, ligatures, full width and squares"),
        ("istanbul", vec![21], "dotted capital I"),
        ("ISTANBUL", vec![21], "plain capital I"),
        ("ıstanbul", vec![21], "dotless i"),
        ("i\u{307}stanbul", vec![21], "an i with a dot of its own"),
        ("isparta", vec![21], "dotless i is found by i"),
        ("ISPARTA", vec![21], "and by its capital"),
        ("İSPARTA", vec![21], "and by the other one"),
        ("donaudampf", vec![22], "a soft hyphen is ignored"),
        ("한글", vec![24], "composed Hangul"),
        ("\u{1112}\u{1161}\u{11ab}*", vec![24], "decomposed Hangul"),
        ("VIỆT", vec![25], "Vietnamese"),
        ("\"nam viê\u{323}t\"", vec![25], "composed in part"),
        ("नमस्ते", vec![26], "Hindi"),
        ("\u{915}\u{93c}लम", vec![26], "a nukta"),
        ("\u{958}लम", vec![26], "a nukta, composed"),
        ("ทํางาน", vec![27], "Thai, decomposed"),
        ("ὈΔΥΣΣΕΎΣ", vec![28], "Greek with breathings"),
        ("ᾨΔΉ", vec![28], "an iota below and beside"),
        ("ガイド", vec![29], "half and full width"),
        ("ꮳꮃꭹ", vec![30], "Cherokee"),
    ];
    for (text, expected, what) in cases {
        for order in ["newest", "best"] {
            let query = [("text", text), ("order", order)];
            let response = app.request(Method::GET, "/v1/messages").query(&query).send().await;
            let body: Value = response.unwrap().json().await.unwrap();
            let place =
                |item: &Value| messages.iter().position(|message| item["message"] == *message);
            let mut found: Vec<usize> =
                body["items"].as_array().unwrap().iter().filter_map(place).collect();
            found.sort_unstable();
            assert_eq!(found, expected, "{what}, {order} first: {text}");
        }
    }
    let (_, found) = search(&app, "\"PARCEL 7\" arr*").await;
    assert_eq!(found["items"][0]["snippet"], "The **parcel** **7** has **arrived**");
    for (text, snippet) in [
        ("h2o fine", "**H₂O** boils, x² grows, **ﬁne** ５㎏"),
        ("5kg", "H₂O boils, x² grows, ﬁne **５㎏**"),
        ("istanbul", "**İSTANBUL** ısparta ĪĮ"),
        ("donaudampf", "**Donau\u{ad}dampf**"),
        ("\"nam việt\"", "Việt **Nam**, **Vie\u{323}\u{302}t**"),
    ] {
        let (_, found) = search(&app, text).await;
        assert_eq!(found["items"][0]["snippet"], snippet, "{text}");
    }
    let (_, found) = search(&app, "東京").await;
    assert_eq!(found["items"][0]["snippet"], "**東京**都は日本の首都です");
    assert_eq!(app.list("").await.items.len(), 0, "nothing else happened");
}

/// The matching messages of all pages.
async fn search_all(app: &TestApp, text: &str, order: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut token = String::new();
    loop {
        let query =
            [("text", text), ("order", order), ("page_size", "10000"), ("page_token", &token)];
        let response = app.request(Method::GET, "/v1/messages").query(&query).send().await;
        let page: Value = response.unwrap().json().await.unwrap();
        for item in page["items"].as_array().unwrap() {
            let is_new = found.insert(item["message"].as_str().unwrap().to_owned());
            assert!(is_new, "{text}, {order} first: found twice: {item}");
        }
        match page["next_page_token"].as_str() {
            Some(next) => token = next.to_owned(),
            None => return found,
        }
    }
}

async fn phrases_are_found_after_concurrent_loads(backend: Backend) {
    const CLIENTS: usize = 8;
    const EACH: usize = 3_000;
    let app = TestApp::start(backend).await;
    let text = |number: usize| match number % 8 {
        0 => format!("{number} beta alpha"),
        1 => format!("{number} alphabeta alpha-beta2 beta"),
        2 => format!("{number} alpha gamma beta, beta; alpha"),
        3 => format!("Alpha, BETA {number}"),
        _ => format!("{number} alpha beta gamma delta"),
    };
    let load_part = async |client: usize| {
        let numbers = (0..EACH).map(|number| number * CLIENTS + client);
        let documents: Vec<_> = numbers.map(|number| json!({"message": text(number)})).collect();
        assert_eq!(load(&app, &documents.into()).await["inserted"], EACH);
    };
    join_all((0..CLIENTS).map(load_part)).await;
    let holding = |expected: &dyn Fn(usize) -> bool| -> BTreeSet<String> {
        (0..CLIENTS * EACH).filter(|number| expected(number % 8)).map(text).collect()
    };
    type Kinds<'a> = &'a dyn Fn(usize) -> bool;
    let cases: [(&str, &str, Kinds); 4] = [
        ("\"alpha beta\"", "newest", &|kind| kind >= 3),
        ("\"beta alpha\"", "best", &|kind| kind == 0 || kind == 2),
        ("alpha-beta2", "newest", &|kind| kind == 1),
        ("\"alpha delta\"", "newest", &|_| false),
    ];
    for (query, order, expected) in cases {
        let found = search_all(&app, query, order).await;
        let expected = holding(expected);
        assert_eq!(found.len(), expected.len(), "{query}");
        assert!(found == expected, "{query}");
    }
}

async fn any_text_is_a_valid_query(backend: Backend) {
    use proptest::strategy::{Strategy, ValueTree};
    use proptest::test_runner::TestRunner;

    let app = TestApp::start(backend).await;
    load(&app, &json!([{"message": "anything at all"}])).await;
    let mut runner = TestRunner::deterministic();
    let marks = proptest::collection::vec(
        proptest::sample::select(vec![
            "\"", "'", "*", "+", "-", "(", ")", "~", "<", ">", "@", ";", "\\", "%", "_", "any",
            " ", "🎉", "\0", "NEAR", "AND", "^", ":", "{", "}", "é", "qz", "/*", "#",
        ]),
        0..40,
    );
    let marks = marks.prop_map(|marks| marks.concat());
    let anything = proptest::string::string_regex("(?s).{0,200}").unwrap();
    for _ in 0..300 {
        for text in [
            anything.new_tree(&mut runner).unwrap().current(),
            marks.new_tree(&mut runner).unwrap().current(),
        ] {
            let (status, body) = search(&app, &text).await;
            assert_eq!(status, StatusCode::OK, "{text:?}: {body}");
            let request = app.request(Method::GET, "/v1/messages");
            let blank = text.trim().is_empty();
            let best = request.query(&[("text", text.as_str()), ("order", "best")]).send().await;
            assert!(blank || best.unwrap().status() == StatusCode::OK, "{text:?}");
        }
    }
    let han = |from: u32, count: u32| (from..from + count).filter_map(char::from_u32);
    for text in [
        "a ".repeat(500),
        "東".repeat(1_000),
        han(0x4e00, 1_000).collect(),
        han(0x4e00, 500).map(|c| format!("{c} ")).collect(),
        han(0x4e00, 250).map(|c| format!("{c}-a ")).collect(),
        "\u{fdfa}".repeat(1_000),
        "a-b ".repeat(250),
        "a*b* ".repeat(200),
    ] {
        assert_eq!(search(&app, text.trim()).await.0, StatusCode::OK, "{text}");
    }
    let (status, body) = search(&app, &"x".repeat(1_001)).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{body}");
}
