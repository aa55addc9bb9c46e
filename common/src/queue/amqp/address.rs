//! The address of the broker. Contains the password and never displays it.

use std::fmt;

use lapin::uri::{AMQPScheme, AMQPUri};

use super::AmqpSettingsError;

/// The heartbeat in seconds: a broker that is silent for twice as long is considered down.
const HEARTBEAT: u16 = 10;
/// The longest name that the protocol can carry.
const LONGEST_NAME: usize = 255;

/// The address of a broker.
pub(super) struct Address(AMQPUri);

impl Address {
    /// Reads `amqp://USER:PASSWORD@HOST:PORT/VHOST`, or `amqps://`.
    ///
    /// # Errors
    /// The problem, without any part of the URL, which lapin's own message may contain.
    pub(super) fn parse(url: &str) -> Result<Self, AmqpSettingsError> {
        let error =
            |reason: &str| Err(AmqpSettingsError(format!("the URL of the broker {reason}")));
        let Ok(mut uri) = url.parse::<AMQPUri>() else {
            return error("does not look like `amqp://USER:PASSWORD@HOST:5672/VHOST`");
        };
        if uri.vhost.is_empty() {
            "/".clone_into(&mut uri.vhost);
        }
        if uri.vhost.len() > LONGEST_NAME {
            return error("names a virtual host of more than 255 bytes");
        }
        uri.query.heartbeat.get_or_insert(HEARTBEAT);
        Ok(Self(uri))
    }

    /// Whether the connection uses TLS.
    pub(super) fn has_tls(&self) -> bool {
        self.0.scheme == AMQPScheme::AMQPS
    }

    /// The address with its password, for the library.
    pub(super) fn uri(&self) -> AMQPUri {
        self.0.clone()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let AMQPUri { authority, vhost, .. } = &self.0;
        write!(f, "{}:{}", authority.host, authority.port)?;
        if vhost != "/" {
            write!(f, ", virtual host {vhost:?}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_shows_neither_user_nor_password() {
        let address = Address::parse("amqp://me:geheim@broker.example:5673/fleet").unwrap();
        assert_eq!(address.to_string(), "broker.example:5673, virtual host \"fleet\"");
        assert_eq!(format!("{address:?}"), address.to_string());
        assert_eq!(Address::parse("amqp://me:geheim@broker").unwrap().to_string(), "broker:5672");
        assert_eq!(Address::parse("amqp://broker/").unwrap().uri().vhost, "/");
        let secure = Address::parse("amqps://me:geheim@broker").unwrap();
        assert_eq!((secure.to_string().as_str(), secure.has_tls()), ("broker:5671", true));
    }

    #[test]
    fn an_invalid_address_is_an_error_without_secrets() {
        let long = format!("amqp://me:geheim@broker/{}", "v".repeat(256));
        for url in [
            "",
            "broker:5672",
            "me:geheim@broker",
            "http://me:geheim@broker",
            "amqpss://me:geheim@broker",
            "amqp://me:geheim@broker:99999",
            "amqp://me:geheim@broker?heartbeat=geheim",
            &long,
        ] {
            let error = Address::parse(url).unwrap_err().to_string();
            assert!(!error.contains("geheim"), "{error}");
        }
    }
}
