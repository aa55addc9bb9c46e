//! TLS to MySQL, as requested by the URL and supported by the linked client library.
//!
//! `ssl_mode` and `ssl_ca` are parameters of the URL. Oracle's library implements them. MariaDB's
//! has no modes: with `ssl_ca` it uses TLS, and accepts any certificate that this authority signed,
//! whatever its name; but if the server offers no TLS, it continues without. So this module checks
//! that a required encryption is in use.

use diesel::mysql::MysqlConnection;
use diesel::prelude::*;
use diesel::result::ConnectionError;
use diesel::sql_types::Text;
use mysqlclient_sys::SUPPORTS_MYSQL_SSL_MODE;

/// The TLS options of a URL.
#[derive(Debug, PartialEq, Eq)]
struct TlsOptions {
    /// The URL in the form that the library accepts.
    url: String,
    /// Whether a connection without TLS is refused.
    is_required: bool,
    ca: Option<String>,
}

impl TlsOptions {
    fn read(url: &str, knows_modes: bool) -> ConnectionResult<Self> {
        let (address, query) = url.split_once('?').unwrap_or((url, ""));
        let parameters: Vec<_> =
            query.split('&').filter(|parameter| !parameter.is_empty()).collect();
        let value = |name: &str| {
            let mut values = parameters.iter().filter_map(|parameter| parameter.split_once('='));
            values.find(|(key, _)| *key == name).map(|(_, value)| value)
        };
        let mode = value("ssl_mode").map(str::to_ascii_lowercase);
        let ca = value("ssl_ca").map(str::to_owned);
        let is_required = match mode.as_deref() {
            None => ca.is_some(),
            Some("disabled" | "preferred") => false,
            Some("required" | "verify_ca") => true,
            Some("verify_identity") if knows_modes => true,
            Some("verify_identity") => {
                return refused(
                    "`ssl_mode=verify_identity` needs Oracle's client library (a build with \
                     `--features bundled-mysql-client`); with MariaDB's, `verify_ca` checks the \
                     authority but not the name",
                );
            }
            Some(_) => {
                return refused(
                    "`ssl_mode` must be one of disabled, preferred, required, verify_ca and \
                     verify_identity",
                );
            }
        };
        if is_required && ca.is_none() && (!knows_modes || mode.as_deref() != Some("required")) {
            return refused(
                "TLS to the database needs `ssl_ca` in the URL: a PEM file with the certificate of \
                 the authority that signed the database's",
            );
        }
        let passed_on = |parameter: &&&str| knows_modes || !parameter.starts_with("ssl_mode=");
        let query: Vec<_> = parameters.iter().filter(passed_on).copied().collect();
        let separator = if query.is_empty() { "" } else { "?" };
        Ok(Self { url: format!("{address}{separator}{}", query.join("&")), is_required, ca })
    }

    /// The error, with advice if it concerns TLS.
    fn explain(&self, error: ConnectionError) -> ConnectionError {
        let reason = error.to_string();
        let is_of_tls = ["SSL", "TLS", "certificate"].iter().any(|word| reason.contains(word));
        match &self.ca {
            Some(ca) if is_of_tls => ConnectionError::BadConnection(format!(
                "{reason}; `ssl_ca` ({ca}) must be a PEM file with the certificate of the authority \
                 that signed the database's"
            )),
            _ => error,
        }
    }
}

fn refused<T>(reason: &str) -> ConnectionResult<T> {
    Err(ConnectionError::InvalidConnectionUrl(reason.to_owned()))
}

/// Opens a connection, with TLS if the URL requests it.
pub(super) fn connect(url: &str) -> ConnectionResult<MysqlConnection> {
    let options = TlsOptions::read(url, SUPPORTS_MYSQL_SSL_MODE)?;
    let mut conn =
        MysqlConnection::establish(&options.url).map_err(|error| options.explain(error))?;
    if options.is_required {
        check(&mut conn)?;
    }
    Ok(conn)
}

#[derive(QueryableByName)]
struct Status {
    #[diesel(sql_type = Text, column_name = Value)]
    value: String,
}

/// Refuses an unencrypted connection.
fn check(conn: &mut MysqlConnection) -> ConnectionResult<()> {
    let cipher = diesel::sql_query("SHOW SESSION STATUS LIKE 'Ssl_cipher'")
        .get_result::<Status>(conn)
        .map_err(ConnectionError::CouldntSetupConfiguration)?;
    if cipher.value.is_empty() {
        return Err(ConnectionError::BadConnection(
            "the database offers no TLS, and its URL requires it (`ssl_mode`, `ssl_ca`)".to_owned(),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::process::Command;

    use super::*;
    use crate::backend::service;

    /// The certificate of the authority that signed the test database's.
    fn ca_file() -> String {
        let services = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let mut command = Command::new(services.join("scripts/services.sh"));
        let output = command.arg("ca-file").current_dir(services).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    fn reason(url: &str) -> String {
        match connect(url) {
            Ok(_) => panic!("it is connected"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn the_url_decides_on_encryption() {
        let (url, ca) = (service("TEST_DATABASE_URL"), ca_file());
        for query in ["ssl_mode=required&", "ssl_mode=verify_ca&", ""] {
            let mut conn = connect(&format!("{url}/tasks?{query}ssl_ca={ca}")).unwrap();
            check(&mut conn).unwrap();
        }
        let mut plain = connect(&format!("{url}/tasks?ssl_mode=disabled")).unwrap();
        let refusal = check(&mut plain).unwrap_err().to_string();
        assert!(refusal.contains("offers no TLS"), "{refusal}");
    }

    #[test]
    fn a_wrong_authority_is_refused_and_named() {
        let folder = tempfile::tempdir().unwrap();
        let other = folder.path().join("other.pem");
        let args =
            ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=other", "-keyout"];
        let mut openssl = Command::new("openssl");
        openssl.args(args).arg(folder.path().join("key.pem")).arg("-out").arg(&other);
        assert!(openssl.output().unwrap().status.success());
        let url = service("TEST_DATABASE_URL");
        let reason = reason(&format!("{url}/tasks?ssl_ca={}", other.display()));
        assert!(reason.contains("`ssl_ca`") && reason.contains("other.pem"), "{reason}");
    }

    #[test]
    fn unsupported_tls_modes_are_refused() {
        let read = |query: &str, knows_modes| {
            TlsOptions::read(&format!("mysql://me@db/tasks?{query}"), knows_modes)
        };
        assert!(read("ssl_mode=verify_identity&ssl_ca=/ca.pem", false).is_err());
        assert!(read("ssl_mode=verify_identity&ssl_ca=/ca.pem", true).is_ok());
        assert!(read("ssl_mode=required", false).is_err());
        assert!(read("ssl_mode=required", true).unwrap().is_required);
        assert!(read("ssl_mode=verify_ca", true).is_err());
        assert!(read("ssl_mode=maybe", true).is_err());
        let passed_on = read("ssl_mode=REQUIRED&ssl_ca=/ca.pem", false).unwrap();
        assert_eq!(passed_on.url, "mysql://me@db/tasks?ssl_ca=/ca.pem");
        let plain = TlsOptions::read("mysql://me@db/tasks", false).unwrap();
        assert_eq!((plain.url.as_str(), plain.is_required), ("mysql://me@db/tasks", false));
    }
}
