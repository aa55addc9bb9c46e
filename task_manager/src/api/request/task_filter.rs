//! The parameters that select tasks.

use common::task::{TaskKind, TaskState, UnknownName, UserId};
use utoipa::IntoParams;
use uuid::Uuid;

use crate::api::middleware::access::CurrentUser;
use crate::api::request::query::Query;
use crate::error::Error;
use crate::paging::Period;
use crate::tasks::store::{Filter, ParameterName};

/// Selects tasks.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes parameters in the OpenAPI document")]
pub struct TaskFilterQuery {
    /// Only tasks in this state; repeats
    state: Option<Vec<TaskState>>,
    /// Only tasks of this kind; repeats
    kind: Option<Vec<TaskKind>>,
    /// Only tasks whose file name contains this text, in any case and spelling of its letters, or
    /// whose id is or begins with it (6 characters or more)
    text: Option<String>,
    /// Only failed tasks with this code of their error
    error_code: Option<String>,
    /// Only tasks with this value of a parameter, as `NAME:VALUE`, such as `group_by:City`; repeats
    parameter: Option<Vec<String>>,
    /// Created at or after this time (RFC 3339) or day (UTC)
    from: Option<String>,
    /// Created before this time (RFC 3339) or day (UTC)
    to: Option<String>,
}

/// Selects the users whose tasks an administrator sees.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes parameters in the OpenAPI document")]
pub struct TaskScopeQuery {
    /// For administrators: the tasks of all users
    all: Option<bool>,
    /// For administrators: the tasks of this user
    user_id: Option<Uuid>,
}

/// Text of an error about a name.
pub fn named(error: UnknownName) -> String {
    error.to_string()
}

/// Reads the parameters of a [`TaskFilterQuery`].
pub fn filter(query: &mut Query) -> Filter {
    let state = query.read_all("state", |text| text.parse().map_err(named));
    let kind = query.read_all("kind", |text| text.parse().map_err(named));
    let text = query.read("text", |text| Ok(text.to_owned()));
    let error_code = query.read("error_code", |text| Ok(text.to_owned()));
    let parameters = query.read_all("parameter", parameter);
    let Period { from, to } = query.period();
    Filter { state, kind, except: None, text, error_code, parameters, from, to }
}

fn parameter(text: &str) -> Result<(ParameterName, String), String> {
    let (name, value) =
        text.split_once(':').ok_or_else(|| format!("`{text}` is not NAME:VALUE"))?;
    Ok((name.to_owned().try_into()?, value.to_owned()))
}

/// The users whose tasks a request concerns.
#[derive(Debug, Clone, Copy)]
pub struct Scope {
    is_all: bool,
    user: Option<UserId>,
}

impl Scope {
    /// Reads the parameters of a [`TaskScopeQuery`].
    pub fn read(query: &mut Query) -> Self {
        let is_all = query.read("all", |text| {
            text.parse().map_err(|_| format!("`{text}` is neither `true` nor `false`"))
        });
        let user = query.read("user_id", |text| {
            Uuid::try_parse(text).map(UserId).map_err(|_| format!("`{text}` is not a user's id"))
        });
        Self { is_all: is_all.unwrap_or(false), user }
    }

    /// The owner of the tasks; none for those of all users.
    ///
    /// # Errors
    /// The request concerns others, and `user` is not an administrator.
    pub fn owner(self, user: CurrentUser) -> Result<Option<UserId>, Error> {
        let owner = match self {
            Self { is_all: true, user: Some(_) } => {
                return Err(Error::invalid("all", "excludes user_id"));
            }
            Self { is_all: true, user: None } => None,
            Self { is_all: false, user: owner } => Some(owner.unwrap_or(user.id)),
        };
        if user.is_administrator() || owner == Some(user.id) {
            return Ok(owner);
        }
        Err(if owner.is_none() { Error::NotAdministrator } else { Error::UserNotFound })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_has_a_known_name_and_any_value() {
        let name = ParameterName::try_from("group_by".to_owned()).unwrap();
        assert_eq!(parameter("group_by:a:b"), Ok((name, "a:b".to_owned())));
        assert!(parameter("group_by").unwrap_err().contains("NAME:VALUE"));
        assert!(parameter("kind:x").unwrap_err().starts_with("`kind` is not one of group_by, sum"));
    }
}
