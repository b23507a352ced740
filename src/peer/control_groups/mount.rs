//! Where cgroup v2 is mounted.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use nix::sys::stat::makedev;

/// The directory of the root of all control groups, if there is one: `/sys/fs/cgroup`, or beside version 1
/// `/sys/fs/cgroup/unified`.
///
/// # Errors
/// Where what is mounted cannot be read.
pub(in crate::peer) fn mounted() -> io::Result<Option<PathBuf>> {
    let text = fs::read("/proc/self/mountinfo")?;
    let found = text.split(|byte| *byte == b'\n').filter_map(mount).find(|mount| {
        // Something else may be mounted on top of it.
        fs::metadata(&mount.directory).is_ok_and(|metadata| metadata.dev() == mount.device)
    });
    Ok(found.map(|mount| mount.directory))
}

#[derive(Debug, PartialEq, Eq)]
struct Mount {
    device: u64,
    directory: PathBuf,
}

/// Reads a line of `/proc/PID/mountinfo` (proc(5)), if it is about the whole of cgroup v2.
fn mount(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|byte| *byte == b' ').skip(2);
    let (device, root, directory) = (fields.next()?, fields.next()?, fields.next()?);
    let kind = fields.skip_while(|field| *field != b"-").nth(1)?;
    if kind != b"cgroup2" || root != b"/" {
        return None;
    }
    let (major, minor) = std::str::from_utf8(device).ok()?.split_once(':')?;
    let device = makedev(major.parse().ok()?, minor.parse().ok()?);
    let directory = PathBuf::from(std::ffi::OsString::from_vec(unescaped(directory)));
    Some(Mount { device, directory })
}

/// Spaces, tabs, line feeds and backslashes are written as three octal digits.
fn unescaped(mut field: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(field.len());
    while let Some((first, rest)) = field.split_first() {
        let digits = rest.get(..3).filter(|_| *first == b'\\');
        let octal = digits.and_then(|it| std::str::from_utf8(it).ok());
        let octal = octal.and_then(|it| u8::from_str_radix(it, 8).ok());
        plain.push(octal.unwrap_or(*first));
        field = rest.get(if octal.is_some() { 3.. } else { 0.. }).unwrap_or_default();
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(line: &str) -> Option<String> {
        mount(line.as_bytes()).map(|it| it.directory.display().to_string())
    }

    #[test]
    fn the_whole_of_version_two_is_found_and_nothing_else() {
        let whole =
            "29 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate";
        assert_eq!(at(whole).as_deref(), Some("/sys/fs/cgroup"));
        assert_eq!(mount(whole.as_bytes()).unwrap().device, makedev(0, 26));
        let beside = "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw";
        assert_eq!(at(beside).as_deref(), Some("/sys/fs/cgroup/unified"));
        let spaced = r"41 31 0:38 / /a\040b\134c rw - cgroup2 none rw";
        assert_eq!(at(spaced).as_deref(), Some(r"/a b\c"));
        for other in [
            "40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd",
            "40 31 0:37 /user.slice /mnt rw - cgroup2 cgroup2 rw",
            "40 31 0:37 /../.. /mnt rw - cgroup2 cgroup2 rw",
            "30 1 8:1 / /cgroup2 rw - ext4 cgroup2 rw",
            "40 31 x:37 / /mnt rw - cgroup2 cgroup2 rw",
            "40 31 0:37 / /mnt rw",
            "",
        ] {
            assert_eq!(at(other), None, "{other}");
        }
    }
}
