//! The parameters of a query, before they are parsed ([`query`](super::query)).

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use common::problem::ErrorLocation;

use crate::error::Error;

/// The parameters of the query, in order, including repeated ones.
#[derive(Debug, Default)]
pub struct Parameters(pub Vec<(String, String)>);

impl<S: Send + Sync> FromRequestParts<S> for Parameters {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        let query = Query::<Vec<(String, String)>>::from_request_parts(parts, state).await;
        match query {
            Ok(Query(parameters)) => Ok(Self(parameters)),
            Err(error) => Err(Error::BadRequest(error.body_text())),
        }
    }
}

impl Parameters {
    /// Removes the parameter `name` and returns its value; if it is repeated, the last one.
    pub fn take(&mut self, name: &str) -> Option<String> {
        let mut taken = None;
        self.0.retain_mut(|(given, value)| {
            let is_it = given == name;
            if is_it {
                taken = Some(std::mem::take(value));
            }
            !is_it
        });
        taken
    }

    /// Removes the parameter `name` and returns all its values.
    pub fn take_all(&mut self, name: &str) -> Vec<String> {
        let (taken, left) =
            std::mem::take(&mut self.0).into_iter().partition(|(given, _)| given == name);
        self.0 = left;
        let taken: Vec<(String, String)> = taken;
        taken.into_iter().map(|(_, value)| value).collect()
    }

    /// An error for each parameter that was not taken.
    pub fn unknown(&self, known: &str) -> Vec<ErrorLocation> {
        let unknown = |(name, _): &(String, String)| {
            ErrorLocation::field(name, format!("is not a parameter here; there are {known}"))
        };
        self.0.iter().map(unknown).collect()
    }
}
