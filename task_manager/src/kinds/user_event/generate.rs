//! Generates plausible random events.

use chrono::{DateTime, TimeDelta, Utc};
use common::random::Random;
use common::user_event::{Address, UserEvent};

/// City, state, country, and the pattern of its post codes, where `#` is any digit. Repeated
/// entries raise the frequency of a city.
const CITIES: [(&str, &str, &str, &str); 24] = [
    ("New York", "New York", "United States", "100##"),
    ("New York", "New York", "United States", "112##"),
    ("Portland", "Oregon", "United States", "972##"),
    ("Portland", "Maine", "United States", "041##"),
    ("Chicago", "Illinois", "United States", "606##"),
    ("Austin", "Texas", "United States", "787##"),
    ("Springfield", "Illinois", "United States", "627##"),
    ("Toronto", "Ontario", "Canada", "M#B #A#"),
    ("Montréal", "Québec", "Canada", "H#X #Y#"),
    ("London", "England", "United Kingdom", "N# #AB"),
    ("London", "England", "United Kingdom", "SE# #QZ"),
    ("Edinburgh", "Scotland", "United Kingdom", "EH# #DX"),
    ("Berlin", "Berlin", "Germany", "10###"),
    ("Berlin", "Berlin", "Germany", "13###"),
    ("München", "Bayern", "Germany", "80###"),
    ("Paris", "Île-de-France", "France", "750##"),
    ("Lyon", "Auvergne-Rhône-Alpes", "France", "690##"),
    ("Madrid", "Comunidad de Madrid", "Spain", "280##"),
    ("Kraków", "Małopolskie", "Poland", "31-###"),
    ("São Paulo", "São Paulo", "Brazil", "01###-###"),
    ("Nairobi", "Nairobi County", "Kenya", "00###"),
    ("Bengaluru", "Karnataka", "India", "5600##"),
    ("東京", "東京都", "日本", "1##-00##"),
    ("Sydney", "New South Wales", "Australia", "20##"),
];

/// The period of the events: its first second (2024-01-01) and its length of two years.
const FIRST_SECOND: i64 = 1_704_067_200;
const SECONDS: u64 = 2 * 365 * 24 * 3600;

/// The `count` events of `seed`, which are always the same, including their ids.
pub fn events(count: usize, seed: u64) -> Vec<UserEvent> {
    let mut random = Random::new(seed);
    (0..count).map(|_| event(&mut random)).collect()
}

fn event(random: &mut Random) -> UserEvent {
    let bytes = (u128::from(random.number()) << 64 | u128::from(random.number())).to_be_bytes();
    let place = random.below(CITIES.len() as u64) as usize;
    let (city, state, country, code) = CITIES.get(place).copied().unwrap_or_default();
    let post_code = code.chars().map(|mark| match mark {
        '#' => char::from(b'0' + random.below(10) as u8),
        mark => mark,
    });
    UserEvent {
        id: uuid::Builder::from_random_bytes(bytes).into_uuid().to_string(),
        address: Address {
            city: city.to_owned(),
            state: state.to_owned(),
            country: country.to_owned(),
            post_code: post_code.collect(),
        },
        datetime: time(random),
    }
}

fn time(random: &mut Random) -> DateTime<Utc> {
    let second = FIRST_SECOND + random.below(SECONDS) as i64;
    let fraction = TimeDelta::milliseconds(random.below(1_000) as i64);
    DateTime::from_timestamp(second, 0).unwrap_or_default() + fraction
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn events_depend_on_the_seed_alone() {
        let first = &events(1, 42)[0];
        assert_eq!(events(10_000, 42)[0], *first);
        assert_ne!(events(1, 43)[0].id, first.id);
        // Hard-coded, so that no change of the generator goes unnoticed.
        assert_eq!(
            serde_json::to_value(first).unwrap(),
            serde_json::json!({
                "id": "39fcb970-a300-4809-bd36-18972c55d911",
                "address": {
                    "city": "Kraków",
                    "state": "Małopolskie",
                    "country": "Poland",
                    "postCode": "31-593",
                },
                "datetime": "2024-05-17T04:09:12.524Z",
            })
        );
    }

    #[test]
    fn events_have_plausible_values() {
        let events = events(10_000, 7);
        let ids: BTreeSet<_> = events.iter().map(|event| &event.id).collect();
        assert_eq!(ids.len(), events.len());
        let cities: BTreeSet<_> = events.iter().map(|event| &event.address.city).collect();
        assert!(cities.len() >= 20, "{cities:?}");
        for UserEvent { id, address, datetime } in &events {
            assert_eq!(uuid::Uuid::try_parse(id).unwrap().get_version_num(), 4);
            assert!(!address.post_code.contains('#') && !address.post_code.is_empty());
            assert!(
                datetime.to_rfc3339().starts_with("2024")
                    || datetime.to_rfc3339().starts_with("2025")
            );
        }
    }
}
