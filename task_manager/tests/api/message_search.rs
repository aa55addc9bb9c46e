//! Full-text search: what a query means, the same on both databases.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::app::TestApp;
use super::backend::{Backend, backend_tests};
use super::messages::load;

backend_tests![queries_mean_the_same_on_both, any_text_is_a_query];

async fn search(app: &TestApp, text: &str) -> (StatusCode, Value) {
    let request = app.request(Method::GET, "/v1/messages").query(&[("text", text)]);
    let response = request.send().await.unwrap();
    (response.status(), response.json().await.unwrap())
}

async fn queries_mean_the_same_on_both(backend: Backend) {
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
        ("café", vec![3], "accents tell apart"),
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
        ("مرحبا", vec![8], "Arabic"),
        ("بالع*", vec![8], "an Arabic prefix"),
        ("🎉", vec![9], "an emoji"),
        ("👩\u{200d}🚀 done", vec![9], "an emoji of several, and a word"),
        ("🚀", vec![], "a part of an emoji is none"),
        ("안녕하세요", vec![15], "Hangul"),
        ("안녕*", vec![15], "a prefix in Hangul"),
        ("example.com", vec![10], "an address"),
        ("example", vec![10], "a part of one"),
        ("x@y.org", vec![10], "an e-mail address"),
        ("y@x.org", vec![], "the parts of an address have an order"),
        ("a_b", vec![10, 11], "marks part words"),
        ("+parcel -door", vec![1], "operators mean nothing"),
        ("parcel AND door", vec![], "nor do their names"),
        ("parcel | (door)", vec![1], "nor brackets"),
        ("~quoted >words <end", vec![11], "nor weights"),
        ("*h", vec![11], "nor a star before a word"),
        ("\"quoted words\"", vec![11], "a phrase that was quoted"),
        ("\"quoted", vec![11], "a quote without an end"),
        ("\"\" parcel", vec![0, 1], "an empty phrase"),
        ("'; DROP TABLE messages; --", vec![12], "SQL is a text"),
        ("' OR '1'='1", vec![], "so is this"),
        ("%", vec![], "a mark only"),
        ("... *** \"\" ()", vec![], "marks only"),
        (&long_whole, vec![13], "a word longer than the engines take"),
        (&long_start, vec![13], "its start"),
        (&long, vec![], "not quite the word"),
        ("don't", vec![14], "an apostrophe"),
        ("été", vec![14], "behind an apostrophe"),
        ("straße", vec![18], "sharp s and ss are alike"),
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
    let (_, found) = search(&app, "東京").await;
    assert_eq!(found["items"][0]["snippet"], "**東京**都は日本の首都です");
    assert_eq!(app.list("").await.items.len(), 0, "nothing else happened");
}

async fn any_text_is_a_query(backend: Backend) {
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
    for text in ["a ".repeat(500), "東".repeat(1_000), "a-b ".repeat(250), "a*b* ".repeat(200)] {
        assert_eq!(search(&app, text.trim()).await.0, StatusCode::OK, "{text}");
    }
    let (status, body) = search(&app, &"x".repeat(1_001)).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{body}");
}
