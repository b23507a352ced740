//! Systemd units, and the control groups that their processes are in.

use std::fmt;
use std::sync::Arc;

/// The control group of a process: its path below the root of the hierarchy, without a slash before it, such as
/// `system.slice/backup.service` (cgroups(7)).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ControlGroup(Arc<str>);

impl ControlGroup {
    /// The control group at `path`, as the kernel tells it.
    #[must_use]
    pub fn new(path: &str) -> Self {
        Self(path.trim_matches('/').into())
    }

    /// The path.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is `unit`'s, or one that the unit's processes have made below it.
    #[must_use]
    pub fn is_of(&self, unit: &UnitPath) -> bool {
        let below = self.0.strip_prefix(unit.as_str());
        below.is_some_and(|below| below.is_empty() || below.starts_with('/'))
    }

    /// Whether it is the unit `name` of the service manager of the user `uid`, or below that.
    ///
    /// systemd keeps a user's units in the control group of `user@UID.service`, whose slices the user names
    /// (systemd.slice(5), user@.service(5)).
    #[must_use]
    pub fn is_user_unit(&self, uid: u32, name: &UnitName) -> bool {
        let manager = format!("user.slice/user-{uid}.slice/user@{uid}.service/");
        let mut below = self.0.strip_prefix(manager.as_str()).unwrap_or_default().split('/');
        below.find(|segment| segment.strip_suffix(".slice").is_none()) == Some(name.as_str())
    }
}

impl fmt::Display for ControlGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// The full path of a unit of the system, from the root of all slices: `system.slice/backup.service`.
///
/// The whole path tells a unit from another with the same name, such as one of a user's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnitPath(String);

impl UnitPath {
    /// Takes `text` as a unit's path.
    ///
    /// # Errors
    /// [`UnitFault`] for what is no path of slices that ends with a unit, and for what lies with a user's own units.
    pub fn parse(text: &str) -> Result<Self, UnitFault> {
        let (slices, unit) = text.rsplit_once('/').unwrap_or_default();
        if slices.split('/').any(|slice| slice.starts_with("user@")) {
            return Err(UnitFault::OfAUser);
        }
        let is_path = slices.split('/').all(|slice| is_unit(slice, &[".slice"]));
        if is_path && is_unit(unit, &[".scope", ".service", ".slice"]) {
            Ok(Self(text.to_owned()))
        } else {
            Err(UnitFault::NoPath)
        }
    }

    /// The path.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The name of a unit of a user's own service manager: `backup.service`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnitName(String);

impl UnitName {
    /// Takes `text` as a unit's name.
    ///
    /// # Errors
    /// [`UnitFault`] for what is no name of a service or a scope.
    pub fn parse(text: &str) -> Result<Self, UnitFault> {
        let is_name = !text.contains('/') && is_unit(text, &[".scope", ".service"]);
        if is_name { Ok(Self(text.to_owned())) } else { Err(UnitFault::NoName) }
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why a text names no unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnitFault {
    /// It is no name of a service or a scope.
    NoName,
    /// It is no path of slices with a unit at the end.
    NoPath,
    /// It lies below a user's service manager, where that user makes units at will.
    OfAUser,
}

impl fmt::Display for UnitFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoName => "is no name of a unit, such as \"backup.service\"",
            Self::NoPath => "is no path of a unit, such as \"system.slice/backup.service\"",
            Self::OfAUser => "lies with the units of a user, who makes them at will",
        })
    }
}

impl std::error::Error for UnitFault {}

/// Whether `text` has one of these endings, something before it, and only characters of unit names (systemd.unit(5)).
fn is_unit(text: &str, endings: &[&str]) -> bool {
    let stem = endings.iter().find_map(|ending| text.strip_suffix(ending));
    stem.is_some_and(|stem| {
        !stem.is_empty()
            && stem.bytes().all(|b| b.is_ascii_alphanumeric() || b":-_.\\@".contains(&b))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(text: &str) -> UnitPath {
        UnitPath::parse(text).unwrap()
    }

    #[test]
    fn a_unit_is_known_by_its_whole_path() {
        let backup = unit("system.slice/backup.service");
        for group in [
            "system.slice/backup.service",
            "/system.slice/backup.service/",
            "system.slice/backup.service/worker",
        ] {
            assert!(ControlGroup::new(group).is_of(&backup), "{group}");
        }
        for group in [
            "",
            "system.slice",
            "backup.service",
            "system.slice/backup.service2",
            "system.slice/backup.services/x",
            "user.slice/user-1000.slice/user@1000.service/app.slice/backup.service",
            "user.slice/user-1000.slice/user@1000.service/system.slice/backup.service",
            "evil.slice/system.slice/backup.service",
        ] {
            assert!(!ControlGroup::new(group).is_of(&backup), "{group}");
        }
        let slice = unit("system.slice/system-backup.slice");
        assert!(
            ControlGroup::new("system.slice/system-backup.slice/backup@1.service").is_of(&slice)
        );
    }

    #[test]
    fn a_users_unit_is_known_by_its_name_below_that_users_manager() {
        let backup = UnitName::parse("backup.service").unwrap();
        let manager = "user.slice/user-1000.slice/user@1000.service";
        let is = |path: &str, uid| ControlGroup::new(path).is_user_unit(uid, &backup);
        assert!(is(&format!("{manager}/app.slice/backup.service"), 1000));
        assert!(is(&format!("{manager}/app.slice/app-x.slice/backup.service/below"), 1000));
        assert!(is(&format!("{manager}/backup.service"), 1000));
        assert!(!is(&format!("{manager}/app.slice/backup.service"), 1001));
        assert!(!is(&format!("{manager}/app.slice/other.service/backup.service"), 1000));
        assert!(!is(&format!("{manager}/app.slice/backup.service2"), 1000));
        assert!(!is("system.slice/backup.service", 1000));
        assert!(!is("user.slice/user-1000.slice/session-1.scope/backup.service", 1000));
    }

    #[test]
    fn what_names_no_unit_is_refused() {
        for text in [
            "",
            "backup.service",
            "/system.slice/backup.service",
            "system.slice/backup",
            "system.slice/.service",
            "system.slice//backup.service",
            "system.slice/../backup.service",
            "system.slice/back up.service",
            "system/backup.service",
            "system.slice/",
        ] {
            assert_eq!(UnitPath::parse(text), Err(UnitFault::NoPath), "{text}");
        }
        let below = "user.slice/user-1000.slice/user@1000.service/app.slice/backup.service";
        assert_eq!(UnitPath::parse(below), Err(UnitFault::OfAUser));
        for text in ["", "backup", "system.slice/backup.service", "app.slice", ".service"] {
            assert_eq!(UnitName::parse(text), Err(UnitFault::NoName), "{text}");
        }
        assert!(UnitPath::parse("system.slice/system-getty.slice/getty@tty1.service").is_ok());
        assert!(UnitPath::parse(r"system.slice/dev\x2dx.service").is_ok());
    }
}
