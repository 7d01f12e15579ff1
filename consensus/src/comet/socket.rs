//! The sockets of ABCI: a Unix socket or a TCP port.

use std::fmt;
use std::fs;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::process::geteuid;

/// Maximum length of the path of a Unix socket, in bytes: `sockaddr_un` has room for one more, which ends the text.
pub const MAX_PATH_BYTES: usize = if cfg!(target_os = "linux") { 107 } else { 103 };

/// The address of an ABCI server, written `unix:///PATH` or `tcp://IP:PORT` as in CometBFT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AbciAddr {
    /// A socket in the file system. Everyone who may write to it can connect.
    Unix(PathBuf),
    /// A port. Everyone who reaches it can connect.
    Tcp(SocketAddr),
}

/// A text that is no address of an ABCI server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no ABCI address: {why}; write unix:///PATH or tcp://IP:PORT")]
pub struct NotAnAbciAddr {
    text: String,
    why: String,
}

impl FromStr for AbciAddr {
    type Err = NotAnAbciAddr;

    fn from_str(text: &str) -> Result<Self, NotAnAbciAddr> {
        let wrong = |why: &str| NotAnAbciAddr { text: text.to_owned(), why: why.to_owned() };
        if let Some(path) = text.strip_prefix("unix://") {
            let path = PathBuf::from(path);
            return match path.is_absolute() {
                true if is_short(&path) => Ok(Self::Unix(path)),
                true => Err(wrong(&format!("a socket's path has at most {MAX_PATH_BYTES} bytes"))),
                false => Err(wrong("the path is not absolute")),
            };
        }
        let addr = text.strip_prefix("tcp://").unwrap_or(text);
        addr.parse().map(Self::Tcp).map_err(|_| wrong("it is no IP and port"))
    }
}

impl fmt::Display for AbciAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp(addr) => write!(f, "tcp://{addr}"),
        }
    }
}

/// Returns whether the path is short enough for a socket.
fn is_short(path: &Path) -> bool {
    path.as_os_str().len() <= MAX_PATH_BYTES
}

/// Makes a directory that only its owner can enter, and returns the address of a socket in it.
///
/// The directory is `name` in `home`. If that path is too long for a socket, it is a directory of its own among the
/// temporary files of the system.
///
/// # Errors
/// The directory cannot be made, or belongs to somebody else.
pub(crate) fn private_addr(home: &Path, name: &str) -> io::Result<AbciAddr> {
    let near = home.join(name);
    if is_short(&near.join(SOCKET)) {
        return private_dir(&near).map(|dir| AbciAddr::Unix(dir.join(SOCKET)));
    }
    // Its name is the process's: whatever is left there of another one with the same number is taken over.
    let far = std::env::temp_dir().join(format!("capstan-abci-{}", std::process::id()));
    if !is_short(&far.join(SOCKET)) {
        return Err(io::Error::other(format!(
            "{} is too long a path for a socket ({MAX_PATH_BYTES} bytes), and so is {}",
            near.join(SOCKET).display(),
            far.join(SOCKET).display()
        )));
    }
    private_dir(&far).map(|dir| AbciAddr::Unix(dir.join(SOCKET)))
}

const SOCKET: &str = "abci.sock";

/// Makes the directory, or takes an existing one of this user, and closes it to others.
fn private_dir(dir: &Path) -> io::Result<PathBuf> {
    use std::os::unix::fs::MetadataExt as _;
    match fs::DirBuilder::new().mode(0o700).create(dir) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        other => other?,
    }
    let found = fs::symlink_metadata(dir)?;
    if !found.is_dir() || found.uid() != geteuid().as_raw() {
        return Err(io::Error::other(format!("{} belongs to somebody else", dir.display())));
    }
    fs::set_permissions(dir, fs::Permissions::from_mode(0o700))?;
    Ok(dir.to_owned())
}

/// A listener on an [`AbciAddr`].
#[derive(Debug)]
pub(crate) enum Listener {
    Unix(UnixListener),
    Tcp(TcpListener),
}

/// A connection to an [`AbciAddr`].
#[derive(Debug)]
pub(crate) enum Stream {
    Unix(UnixStream),
    Tcp(TcpStream),
}

impl Listener {
    /// Listens on `addr` and returns the address. Port 0 takes a free one. An abandoned socket is replaced.
    pub(crate) fn bind(addr: &AbciAddr) -> io::Result<(Self, AbciAddr)> {
        match addr {
            AbciAddr::Tcp(addr) => {
                let listener = TcpListener::bind(addr)?;
                let addr = AbciAddr::Tcp(listener.local_addr()?);
                Ok((Self::Tcp(listener), addr))
            }
            AbciAddr::Unix(path) => {
                remove_abandoned(path)?;
                let listener = UnixListener::bind(path)?;
                fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
                Ok((Self::Unix(listener), addr.clone()))
            }
        }
    }

    pub(crate) fn accept(&self) -> io::Result<Stream> {
        match self {
            Self::Unix(listener) => Ok(Stream::Unix(listener.accept()?.0)),
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept()?;
                stream.set_nodelay(true)?;
                Ok(Stream::Tcp(stream))
            }
        }
    }
}

/// Removes the socket of a process that ended without removing it.
fn remove_abandoned(path: &Path) -> io::Result<()> {
    let found = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    if !found.file_type().is_socket() {
        return Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "there is a file that is no socket",
        ));
    }
    match UnixStream::connect(path) {
        Ok(_) => Err(io::Error::new(io::ErrorKind::AddrInUse, "another process listens there")),
        Err(_) => fs::remove_file(path),
    }
}

impl Stream {
    pub(crate) fn connect(addr: &AbciAddr) -> io::Result<Self> {
        match addr {
            AbciAddr::Unix(path) => UnixStream::connect(path).map(Self::Unix),
            AbciAddr::Tcp(addr) => TcpStream::connect(addr).map(Self::Tcp),
        }
    }

    pub(crate) fn try_clone(&self) -> io::Result<Self> {
        match self {
            Self::Unix(stream) => stream.try_clone().map(Self::Unix),
            Self::Tcp(stream) => stream.try_clone().map(Self::Tcp),
        }
    }

    pub(crate) fn shutdown(&self) -> io::Result<()> {
        match self {
            Self::Unix(stream) => stream.shutdown(Shutdown::Both),
            Self::Tcp(stream) => stream.shutdown(Shutdown::Both),
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Unix(stream) => stream.read(buffer),
            Self::Tcp(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Unix(stream) => stream.write(bytes),
            Self::Tcp(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Unix(stream) => stream.flush(),
            Self::Tcp(stream) => stream.flush(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_cometbft_writes_them() {
        for text in ["unix:///tmp/abci.sock", "tcp://127.0.0.1:26658"] {
            assert_eq!(text.parse::<AbciAddr>().unwrap().to_string(), text);
        }
        let bare: AbciAddr = "127.0.0.1:0".parse().unwrap();
        assert_eq!(bare.to_string(), "tcp://127.0.0.1:0");
        let long = format!("unix:///{}", "x".repeat(MAX_PATH_BYTES));
        for (text, part) in [
            ("unix://abci.sock", "not absolute"),
            (long.as_str(), format!("at most {MAX_PATH_BYTES} bytes").as_str()),
            ("tcp://localhost", "unix:///PATH or tcp://IP:PORT"),
            ("", "no IP and port"),
        ] {
            let error = text.parse::<AbciAddr>().unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn nobody_else_reaches_a_socket_and_one_that_was_left_behind_is_replaced() {
        let home = tempfile::tempdir().unwrap();
        let addr = private_addr(home.path(), "run").unwrap();
        let AbciAddr::Unix(path) = &addr else { panic!("{addr}") };
        assert!(path.starts_with(home.path()));
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let (listener, _) = Listener::bind(&addr).unwrap();
        assert_eq!((mode(path.parent().unwrap()), mode(path)), (0o700, 0o600));
        let error = Listener::bind(&addr).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        // A process that was killed leaves its socket.
        drop(listener);
        assert!(path.exists());
        Listener::bind(&addr).unwrap();
        fs::remove_file(path).unwrap();
        fs::write(path, "precious").unwrap();
        assert_eq!(Listener::bind(&addr).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(path).unwrap(), "precious");
    }

    #[test]
    fn a_home_with_a_long_path_has_its_socket_elsewhere() {
        let home = tempfile::tempdir().unwrap();
        let deep = home.path().join("d".repeat(120));
        fs::create_dir(&deep).unwrap();
        let addr = private_addr(&deep, "run").unwrap();
        let AbciAddr::Unix(path) = &addr else { panic!("{addr}") };
        assert!(!path.starts_with(home.path()));
        Listener::bind(&addr).unwrap();
        assert_eq!(
            fs::metadata(path.parent().unwrap()).unwrap().permissions().mode() & 0o777,
            0o700
        );
        fs::remove_dir_all(path.parent().unwrap()).unwrap();
    }
}
