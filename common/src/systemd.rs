//! Notifications to systemd: ready, stopping, alive. Also detects whether the log goes to the
//! journal.
//!
//! A message is one datagram of `NAME=value` lines to the socket that `NOTIFY_SOCKET` names
//! (sd_notify(3)). Without that variable nothing is sent, so programs need not check how they were
//! started.
//!
//! # Not here
//! Restarts, timeouts and limits: they are in the units (`systemd/`).

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::AbortHandle;
use tracing::warn;

use crate::config::variable;

/// How long to wait for a service manager that does not read.
const SEND_TIMEOUT: Duration = Duration::from_secs(1);
/// An interval of tokio must not be zero.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(1);
/// Time for the rest of a stop, beyond the drain time of the process.
const STOP_RESERVE: Duration = Duration::from_secs(30);

/// Sends notifications to systemd; does nothing if the process was started otherwise.
#[derive(Debug, Clone, Default)]
pub struct Notifier {
    channel: Option<Arc<Channel>>,
    /// systemd kills and restarts a process that does not report for so long.
    watchdog: Option<Duration>,
}

#[derive(Debug)]
struct Channel {
    socket: UnixDatagram,
    manager: SocketAddr,
}

impl Notifier {
    /// The notifier of this process.
    #[must_use]
    pub fn from_environment() -> Self {
        Self::from_variables(variable)
    }

    fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Self {
        let Some(address) = variable("NOTIFY_SOCKET") else { return Self::default() };
        match Channel::open(&address) {
            Ok(channel) => {
                let watchdog = watchdog_timeout(
                    variable("WATCHDOG_USEC").as_deref(),
                    variable("WATCHDOG_PID").as_deref(),
                );
                Self { channel: Some(Arc::new(channel)), watchdog }
            }
            Err(error) => {
                warn!(%error, address, "cannot notify systemd");
                Self::default()
            }
        }
    }

    /// Whether systemd waits for notifications.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.channel.is_some()
    }

    /// Reports that the start is complete; `systemctl status` shows `status`.
    pub fn ready(&self, status: &str) {
        self.send(&format!("READY=1\n{}", status_line(status)));
    }

    /// Sets the status that `systemctl status` shows.
    pub fn status(&self, status: &str) {
        self.send(&status_line(status));
    }

    /// Reports that the process is stopping, and may take `drain` to finish its work. Extends the
    /// timeout of the unit if it is shorter.
    pub fn stopping(&self, drain: Duration) {
        let extension = drain.saturating_add(STOP_RESERVE).as_micros();
        self.send(&format!("STOPPING=1\nSTATUS=stopping\nEXTEND_TIMEOUT_USEC={extension}"));
    }

    /// Starts to report that the process is alive, if the unit has a watchdog. The reports come
    /// from a task of the runtime: a blocked runtime sends none.
    pub fn start_watchdog(&self) -> Option<AbortHandle> {
        // Half the timeout is what sd_watchdog_enabled(3) recommends; a third allows for one loss.
        let interval = (self.watchdog? / 3).max(SHORTEST_INTERVAL);
        let notifier = self.clone();
        let reporting = tokio::spawn(async move {
            let mut ticks = tokio::time::interval(interval);
            loop {
                ticks.tick().await;
                notifier.send("WATCHDOG=1");
            }
        });
        Some(reporting.abort_handle())
    }

    fn send(&self, message: &str) {
        let Some(channel) = &self.channel else { return };
        if let Err(error) = channel.socket.send_to_addr(message.as_bytes(), &channel.manager) {
            warn!(%error, message, "cannot notify systemd");
        }
    }
}

impl Channel {
    fn open(address: &str) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        socket.set_write_timeout(Some(SEND_TIMEOUT))?;
        Ok(Self { socket, manager: socket_address(address)? })
    }
}

/// A path, or `@` and a name in Linux's abstract namespace.
fn socket_address(text: &str) -> io::Result<SocketAddr> {
    #[cfg(target_os = "linux")]
    if let Some(name) = text.strip_prefix('@') {
        use std::os::linux::net::SocketAddrExt;
        return SocketAddr::from_abstract_name(name);
    }
    SocketAddr::from_pathname(text)
}

/// Reduces a status to one line: a second one would be read as an assignment.
fn status_line(status: &str) -> String {
    format!("STATUS={}", status.replace(['\n', '\r'], " "))
}

/// The watchdog's timeout, if it applies to this process: the variables are inherited from the
/// parent.
fn watchdog_timeout(microseconds: Option<&str>, process: Option<&str>) -> Option<Duration> {
    if process.is_some_and(|process| process != std::process::id().to_string()) {
        return None;
    }
    let timeout = Duration::from_micros(microseconds?.parse().ok()?);
    Some(timeout).filter(|timeout| !timeout.is_zero())
}

/// Whether standard error is connected to the journal, which adds the time to each line itself.
#[must_use]
pub fn stderr_is_journal() -> bool {
    let stream = variable("JOURNAL_STREAM");
    stream.is_some_and(|stream| is_stream(io::stderr().as_fd(), &stream))
}

/// Whether a file has the device and the inode of `DEVICE:INODE`. The variable alone is not
/// sufficient: a process whose standard error goes elsewhere inherits it too.
fn is_stream(file: BorrowedFd<'_>, stream: &str) -> bool {
    let Some((device, inode)) = stream.split_once(':') else { return false };
    let metadata = file.try_clone_to_owned().and_then(|file| File::from(file).metadata());
    metadata.is_ok_and(|metadata| {
        device.parse() == Ok(metadata.dev()) && inode.parse() == Ok(metadata.ino())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receive(socket: &UnixDatagram) -> String {
        let mut buffer = [0; 1024];
        socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let length = socket.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    }

    fn notifier(address: &str, watchdog: Option<&str>) -> Notifier {
        Notifier::from_variables(|name| match name {
            "NOTIFY_SOCKET" => Some(address.to_owned()),
            "WATCHDOG_USEC" => watchdog.map(str::to_owned),
            "WATCHDOG_PID" => Some(std::process::id().to_string()),
            _ => None,
        })
    }

    #[test]
    fn a_process_without_systemd_sends_nothing() {
        let notifier = Notifier::from_variables(|_| None);
        assert!(!notifier.is_active());
        notifier.ready("listening");
        assert!(notifier.start_watchdog().is_none());
    }

    #[test]
    fn states_are_sent_to_a_path() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        let notifier = notifier(path.to_str().unwrap(), None);
        assert!(notifier.is_active());
        notifier.status("waiting\nREADY=1");
        assert_eq!(receive(&manager), "STATUS=waiting READY=1");
        notifier.ready("listening");
        assert_eq!(receive(&manager), "READY=1\nSTATUS=listening");
        notifier.stopping(Duration::from_secs(5));
        let stopping = "STOPPING=1\nSTATUS=stopping\nEXTEND_TIMEOUT_USEC=35000000";
        assert_eq!(receive(&manager), stopping);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn states_are_sent_to_an_abstract_name() {
        let name = format!("task-platform-test-{}", std::process::id());
        let address = socket_address(&format!("@{name}")).unwrap();
        let manager = UnixDatagram::bind_addr(&address).unwrap();
        notifier(&format!("@{name}"), None).ready("listening");
        assert_eq!(receive(&manager), "READY=1\nSTATUS=listening");
    }

    #[test]
    fn a_missing_socket_is_ignored() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        notifier(path.to_str().unwrap(), None).ready("listening");
    }

    #[tokio::test]
    async fn the_runtime_feeds_the_watchdog() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        manager.set_nonblocking(true).unwrap();
        let feeding = notifier(path.to_str().unwrap(), Some("60000")).start_watchdog().unwrap();
        let mut buffer = [0; 64];
        for _ in 0..3 {
            let received = tokio::time::timeout(Duration::from_secs(10), async {
                while manager.recv(&mut buffer).is_err() {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            });
            received.await.unwrap();
            assert!(buffer.starts_with(b"WATCHDOG=1"));
        }
        feeding.abort();
    }

    #[test]
    fn a_watchdog_of_another_process_is_ignored() {
        let own = std::process::id().to_string();
        let second = Some(Duration::from_secs(1));
        assert_eq!(watchdog_timeout(Some("1000000"), Some(&own)), second);
        assert_eq!(watchdog_timeout(Some("1000000"), None), second);
        assert_eq!(watchdog_timeout(Some("1000000"), Some("1")), None);
        assert_eq!(watchdog_timeout(Some("0"), None), None);
        assert_eq!(watchdog_timeout(Some("soon"), None), None);
        assert_eq!(watchdog_timeout(None, None), None);
    }

    #[test]
    fn a_journal_stream_is_recognized_by_device_and_inode() {
        let file = tempfile::tempfile().unwrap();
        let metadata = file.metadata().unwrap();
        let (device, inode) = (metadata.dev(), metadata.ino());
        assert!(is_stream(file.as_fd(), &format!("{device}:{inode}")));
        assert!(!is_stream(file.as_fd(), &format!("{device}:{}", inode + 1)));
        assert!(!is_stream(file.as_fd(), "nothing"));
    }
}
