//! A rotation that only happens in memory, to show what a real one would do.

use std::time::{Duration, SystemTime};

use secrecy::SecretString;

use crate::iam::KeyStatus;
use crate::iam::rotation::{Maker, Progress, Seen, Step, World};
use crate::model::{Failure, LongTermKey};

/// A world in memory: it begins as the real one is, and changes nothing there.
#[derive(Debug)]
pub struct Rehearsal {
    journal: Option<Progress>,
    keys: Vec<Seen>,
    maker: Maker,
    now: SystemTime,
    staged: Option<LongTermKey>,
    steps: Vec<(SystemTime, Step)>,
    stored: String,
}

impl Rehearsal {
    /// The world as `world` is.
    ///
    /// # Errors
    /// Those of looking at it.
    pub async fn of(world: &mut impl World) -> Result<Self, Failure> {
        let maker = match world.maker()? {
            Maker::Ceph { .. } => Maker::Ceph { name: NEW.to_owned() },
            Maker::Iam => Maker::Iam,
        };
        Ok(Self {
            journal: world.journal().await?,
            keys: world.keys().await?,
            maker,
            now: world.now(),
            staged: world.staged().await?,
            steps: Vec::new(),
            stored: world.stored().await?,
        })
    }

    /// What was done, and when.
    #[must_use]
    pub fn steps(&self) -> &[(SystemTime, Step)] {
        &self.steps
    }

    /// Lets time pass until `at`.
    pub fn pass(&mut self, at: SystemTime) {
        self.now = self.now.max(at);
    }
}

impl World for Rehearsal {
    async fn commit(&mut self, _: &str, new: &LongTermKey) -> Result<(), Failure> {
        self.stored.clone_from(&new.access_key_id);
        Ok(())
    }

    async fn create(&mut self, named: Option<&str>) -> Result<LongTermKey, Failure> {
        let access_key_id = named.unwrap_or(NEW).to_owned();
        let created = Some(self.now);
        let status = Some(KeyStatus::Active);
        self.keys.push(Seen { created, id: access_key_id.clone(), last_used: None, status });
        Ok(LongTermKey { access_key_id, secret_access_key: SecretString::default() })
    }

    async fn deactivate(&mut self, id: &str) -> Result<(), Failure> {
        for key in self.keys.iter_mut().filter(|key| key.id == id) {
            key.status = Some(KeyStatus::Inactive);
        }
        Ok(())
    }

    async fn delete(&mut self, id: &str) -> Result<(), Failure> {
        self.keys.retain(|key| key.id != id);
        Ok(())
    }

    async fn discard(&mut self) -> Result<(), Failure> {
        self.staged = None;
        Ok(())
    }

    async fn journal(&mut self) -> Result<Option<Progress>, Failure> {
        Ok(self.journal.clone())
    }

    async fn keys(&mut self) -> Result<Vec<Seen>, Failure> {
        Ok(self.keys.clone())
    }

    async fn knows(&mut self, _: &LongTermKey) -> Result<bool, Failure> {
        Ok(true)
    }

    fn maker(&mut self) -> Result<Maker, Failure> {
        Ok(self.maker.clone())
    }

    async fn note(&mut self, progress: Option<&Progress>) -> Result<(), Failure> {
        self.journal = progress.cloned();
        Ok(())
    }

    fn now(&self) -> SystemTime {
        self.now
    }

    async fn stage(&mut self, key: &LongTermKey) -> Result<(), Failure> {
        let (access_key_id, secret_access_key) =
            (key.access_key_id.clone(), SecretString::default());
        self.staged = Some(LongTermKey { access_key_id, secret_access_key });
        Ok(())
    }

    async fn staged(&mut self) -> Result<Option<LongTermKey>, Failure> {
        Ok(self.staged.as_ref().map(|key| LongTermKey {
            access_key_id: key.access_key_id.clone(),
            secret_access_key: SecretString::default(),
        }))
    }

    async fn stored(&mut self) -> Result<String, Failure> {
        Ok(self.stored.clone())
    }

    fn tell(&mut self, step: &Step) {
        self.steps.push((self.now, step.clone()));
    }

    async fn wait(&mut self, time: Duration) -> Result<(), Failure> {
        self.now += time;
        Ok(())
    }
}

/// What stands for the id of a key that is not made.
const NEW: &str = "(the new key)";
