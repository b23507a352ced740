//! Carries the steps out, one after the other, on a world.

use std::time::{Duration, SystemTime};

use crate::iam::KeyStatus;
use crate::iam::rotation::{Facts, Maker, Outcome, Progress, Seen, Step, Terms, next};
use crate::model::{Failure, FailureKind, LongTermKey};

/// What a rotation acts on: one user's keys, the place of the one in use, and the journal.
///
/// Every call ends by itself, and what it has done when it returns is on disk.
#[expect(async_fn_in_trait, reason = "a rotation stays on the thread where it began")]
pub trait World {
    /// Puts `new` where the key `old` is.
    ///
    /// # Errors
    /// Where another key is there, or it cannot be written.
    async fn commit(&mut self, old: &str, new: &LongTermKey) -> Result<(), Failure>;

    /// Makes a key, of the id `named` if there is one.
    ///
    /// # Errors
    /// Those of `CreateAccessKey`.
    async fn create(&mut self, named: Option<&str>) -> Result<LongTermKey, Failure>;

    /// Turns the key `id` off.
    ///
    /// # Errors
    /// Those of `UpdateAccessKey`.
    async fn deactivate(&mut self, id: &str) -> Result<(), Failure>;

    /// Deletes the key `id`; one that is gone is deleted.
    ///
    /// # Errors
    /// Those of `DeleteAccessKey`.
    async fn delete(&mut self, id: &str) -> Result<(), Failure>;

    /// Removes the staged key, if there is one.
    ///
    /// # Errors
    /// Those of the file system.
    async fn discard(&mut self) -> Result<(), Failure>;

    /// What is written down.
    ///
    /// # Errors
    /// Where it cannot be read.
    async fn journal(&mut self) -> Result<Option<Progress>, Failure>;

    /// All keys of the user.
    ///
    /// # Errors
    /// Those of `ListAccessKeys` and `GetAccessKeyLastUsed`.
    async fn keys(&mut self) -> Result<Vec<Seen>, Failure>;

    /// Whether a call that `key` signs is served; `false` where the key is not known yet.
    ///
    /// # Errors
    /// Any other than that.
    async fn knows(&mut self, key: &LongTermKey) -> Result<bool, Failure>;

    /// Who makes the keys, with another name for the next key each time.
    ///
    /// # Errors
    /// Where the kernel gives no random numbers.
    fn maker(&mut self) -> Result<Maker, Failure>;

    /// Writes down how far it came; `None` removes the journal.
    ///
    /// # Errors
    /// Those of the file system.
    async fn note(&mut self, progress: Option<&Progress>) -> Result<(), Failure>;

    /// The present time.
    fn now(&self) -> SystemTime;

    /// Keeps `key` beside the one in use.
    ///
    /// # Errors
    /// Those of the file system.
    async fn stage(&mut self, key: &LongTermKey) -> Result<(), Failure>;

    /// The key that lies beside the one in use.
    ///
    /// # Errors
    /// Where it cannot be read.
    async fn staged(&mut self) -> Result<Option<LongTermKey>, Failure>;

    /// The id of the key in use.
    ///
    /// # Errors
    /// Where it cannot be read.
    async fn stored(&mut self) -> Result<String, Failure>;

    /// Tells who watches what comes next.
    fn tell(&mut self, step: &Step);

    /// Waits.
    ///
    /// # Errors
    /// Where somebody breaks it off.
    async fn wait(&mut self, time: Duration) -> Result<(), Failure>;
}

/// Does all that is due.
///
/// # Errors
/// The first [`Failure`] of the world. Whatever it is, running this again goes on from there.
pub async fn run(world: &mut impl World, terms: &Terms) -> Result<Outcome, Failure> {
    let mut facts = look(world).await?;
    let started = facts.now;
    loop {
        facts.now = world.now();
        let journal = world.journal().await?;
        let step = next(journal.as_ref(), &facts, terms);
        world.tell(&step);
        match step {
            Step::Commit { new, old } => {
                let key = staged(world, &new).await?;
                world.commit(&old, &key).await?;
                facts.stored = new;
            }
            Step::Create(named) => {
                let key = created(world, named.as_deref()).await?;
                facts.keys.push(Seen {
                    created: Some(facts.now),
                    id: key.access_key_id.clone(),
                    last_used: None,
                    status: Some(KeyStatus::Active),
                });
                facts.staged = Some(key.access_key_id);
            }
            Step::Deactivate(id) => {
                world.deactivate(&id).await?;
                for key in facts.keys.iter_mut().filter(|key| key.id == id) {
                    key.status = Some(KeyStatus::Inactive);
                }
            }
            Step::Delete(id) => {
                world.delete(&id).await?;
                facts.keys.retain(|key| key.id != id);
            }
            Step::Discard => {
                world.discard().await?;
                facts.staged = None;
            }
            Step::End(Outcome::Waiting { until, .. })
                if until <= facts.now + terms.patience
                    && facts.now < started + terms.patience + PROOF =>
            {
                let time = until.duration_since(facts.now).unwrap_or_default();
                world.wait(time).await?;
                facts = look(world).await?;
            }
            Step::End(outcome) => {
                if let Outcome::Done { key, settled } = &outcome {
                    let key = key.clone();
                    let rest = settled.map(|since| Progress::Settled { key, since });
                    world.note(rest.as_ref()).await?;
                }
                return Ok(outcome);
            }
            Step::Forget => world.note(None).await?,
            Step::Note(progress) => world.note(Some(&progress)).await?,
            Step::Prove(new) => {
                let key = staged(world, &new).await?;
                prove(world, &key).await?;
                facts.proven = true;
            }
        }
    }
}

async fn look(world: &mut impl World) -> Result<Facts, Failure> {
    let stored = world.stored().await?;
    let staged = world.staged().await?.map(|key| key.access_key_id);
    let keys = world.keys().await?;
    Ok(Facts { keys, maker: world.maker()?, now: world.now(), proven: false, staged, stored })
}

/// Makes a key and stages it; one that cannot be kept is deleted at once.
async fn created(world: &mut impl World, named: Option<&str>) -> Result<LongTermKey, Failure> {
    let key = world.create(named).await?;
    let Err(failure) = world.stage(&key).await else { return Ok(key) };
    let id = &key.access_key_id;
    let end = match world.delete(id).await {
        Ok(()) => format!("the new key {id} was deleted again"),
        Err(_) => format!("the new key {id} is deleted when you run this again"),
    };
    Err(Failure { message: format!("{}; {end}", failure.message), ..failure })
}

async fn staged(world: &mut impl World, id: &str) -> Result<LongTermKey, Failure> {
    world.staged().await?.filter(|key| key.access_key_id == id).ok_or_else(|| {
        let message =
            format!("the new key {id} was taken away from beside the old; run this again");
        Failure::new(FailureKind::Misconfigured, "AccessKey", message)
    })
}

/// Waits until `key` is known, several times in a row: IAM's copies learn of a key one after the other.
async fn prove(world: &mut impl World, key: &LongTermKey) -> Result<(), Failure> {
    let deadline = world.now() + PROOF;
    let mut in_row = 0;
    while in_row < PROOFS {
        in_row = if world.knows(key).await? { in_row + 1 } else { 0 };
        if world.now() >= deadline {
            let message = format!(
                "the new key {} is not known after {} s; the old one is in use as before; run this again later",
                key.access_key_id,
                PROOF.as_secs()
            );
            return Err(Failure::new(FailureKind::Unsettled, "AccessKey", message));
        }
        if in_row < PROOFS {
            world.wait(PAUSE).await?;
        }
    }
    Ok(())
}

/// Between two calls that are to prove a key.
const PAUSE: Duration = Duration::from_secs(1);

/// How long a new key may take to be known.
const PROOF: Duration = Duration::from_mins(3);

/// How many calls in a row prove a key.
const PROOFS: u32 = 3;
