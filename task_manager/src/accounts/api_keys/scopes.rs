//! What a key permits.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::accounts::users::Role;

/// A permission of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// To read what the owner may read. Every key has it.
    Read,
    /// To submit and control tasks too.
    Write,
    /// To do so with the rights of an administrator.
    Admin,
}

impl Scope {
    const ALL: [Self; 3] = [Self::Read, Self::Write, Self::Admin];

    /// Its name on the wire and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Admin => "admin",
        }
    }
}

/// The permissions of a key; each may read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Scopes {
    pub write: bool,
    pub admin: bool,
}

impl Scopes {
    /// Those of a list.
    pub fn of(list: &[Scope]) -> Self {
        Self { write: list.contains(&Scope::Write), admin: list.contains(&Scope::Admin) }
    }

    /// As a list.
    pub fn list(self) -> Vec<Scope> {
        let has = |scope: &Scope| match scope {
            Scope::Read => true,
            Scope::Write => self.write,
            Scope::Admin => self.admin,
        };
        Scope::ALL.into_iter().filter(has).collect()
    }

    /// As it is stored.
    pub(super) fn to_text(self) -> String {
        self.list().into_iter().map(Scope::as_str).collect::<Vec<_>>().join(" ")
    }

    /// From what is stored. A scope of another version permits nothing here.
    pub(super) fn from_text(text: &str) -> Self {
        let has = |scope: Scope| text.split(' ').any(|name| name == scope.as_str());
        Self { write: has(Scope::Write), admin: has(Scope::Admin) }
    }

    /// The first scope that a user of this role cannot give, if any.
    pub(super) fn beyond(self, role: Role) -> Option<Scope> {
        match role {
            Role::Admin => None,
            _ if self.admin => Some(Scope::Admin),
            Role::Viewer if self.write => Some(Scope::Write),
            Role::User | Role::Viewer => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_stored_as_text() {
        for scopes in [
            Scopes::default(),
            Scopes { write: true, admin: false },
            Scopes { write: false, admin: true },
            Scopes { write: true, admin: true },
        ] {
            assert_eq!(Scopes::from_text(&scopes.to_text()), scopes);
            assert_eq!(Scopes::of(&scopes.list()), scopes);
        }
        assert_eq!(Scopes::from_text("read everything"), Scopes::default());
        for scope in Scope::ALL {
            assert_eq!(serde_json::to_value(scope).unwrap(), scope.as_str());
        }
    }
}
