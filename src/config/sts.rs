//! Which STS a hop calls, and for which region.
//!
//! As with AWS's own tools, STS is called with the region and the endpoint of the profile that is asked for, at
//! every hop of a chain; yet a source whose own profile states a region, or an endpoint, keeps it. An endpoint is
//! stated as a whole: `endpoint_url`, `services.sts`, `ca_bundle`, `sts` and the two `use_` keys go together.

use std::path::{Path, PathBuf};

use crate::config::context::Context;
use crate::config::cursor::{Cursor, Node};
use crate::config::fault::{At, Fault, Span, quoted};
use crate::config::url::Url;
use crate::model::{ClientSettings, Dialect, Partition, Region, RoleArn, StsEndpoint};
use crate::{authorities, files};

/// What a profile says about endpoints and regions.
#[derive(Debug)]
pub(super) struct Settings {
    region: Option<At<Region>>,
    endpoint_url: Option<At<Url>>,
    sts_url: Option<At<Url>>,
    ca_bundle: Option<At<PathBuf>>,
    dialect: Option<At<Dialect>>,
    fips: Option<At<bool>>,
    dual_stack: Option<At<bool>>,
    /// AWS's global endpoint, where its older rule is asked for; clients find it by that rule themselves.
    global: Option<At<Url>>,
    /// An address or a kind was given that is none: whose STS is meant is not known.
    obscure: bool,
}

/// The same as it is written: texts that may be no good.
#[derive(Debug, Default)]
pub(super) struct Written {
    pub(super) region: Option<At<String>>,
    pub(super) endpoint_url: Option<At<String>>,
    pub(super) sts_url: Option<At<String>>,
    pub(super) ca_bundle: Option<At<String>>,
    pub(super) dialect: Option<At<String>>,
    pub(super) fips: Option<At<bool>>,
    pub(super) dual_stack: Option<At<bool>>,
    /// Where `sts_regional_endpoints = legacy` stands.
    pub(super) legacy: Option<Span>,
    /// An address or a kind is not even a text.
    pub(super) obscure: bool,
}

impl Settings {
    /// Takes the keys of endpoints and regions from a profile's `table`.
    pub(super) fn read(table: &mut Cursor<'_>, context: &Context<'_>) -> Self {
        let mut obscure = false;
        let mut text = |node: Option<Node<'_>>| {
            let text = node.as_ref().and_then(Node::string);
            obscure |= node.is_some() && text.is_none();
            text
        };
        let written = Written {
            region: table.string("region"),
            endpoint_url: text(table.take("endpoint_url")),
            sts_url: text(sts_url(table)),
            dialect: text(table.take("sts")),
            ca_bundle: table.string("ca_bundle"),
            fips: table.boolean("use_fips_endpoint"),
            dual_stack: table.boolean("use_dualstack_endpoint"),
            legacy: None,
            obscure,
        };
        Self::parse(written, context)
    }

    /// Takes what is `written`; takes down what is no good.
    pub(super) fn parse(written: Written, context: &Context<'_>) -> Self {
        let url = |text: &At<String>| Url::parse(text, context.findings);
        let region = written.region.as_ref().and_then(|region| read_region(region, context));
        let endpoint_url = written.endpoint_url.as_ref().and_then(url);
        let sts_url = written.sts_url.as_ref().and_then(url);
        let ca_bundle = written.ca_bundle.as_ref().and_then(|path| {
            let path = context.absolute(path)?;
            read_ca_bundle(path, context)
        });
        let dialect = written.dialect.as_ref().and_then(|word| read_dialect(word, context));
        let obscure = written.obscure
            || written.endpoint_url.is_some() != endpoint_url.is_some()
            || written.sts_url.is_some() != sts_url.is_some()
            || written.dialect.is_some() != dialect.is_some();
        let (fips, dual_stack) = (written.fips, written.dual_stack);
        let global = None;
        let mut settings = Self {
            region,
            endpoint_url,
            sts_url,
            ca_bundle,
            dialect,
            fips,
            dual_stack,
            global,
            obscure,
        };
        settings.check(context);
        settings.global = written.legacy.and_then(|span| settings.global(span, context));
        settings
    }

    /// AWS's global endpoint, where the older rule leads to it: for the regions that were there before the regional
    /// endpoints were (`LEGACY_GLOBAL_STS_REGIONS` in botocore's `args.py`).
    fn global(&self, span: Span, context: &Context<'_>) -> Option<At<Url>> {
        let on = |flag: &Option<At<bool>>| flag.as_ref().is_some_and(|flag| flag.value);
        let region = self.region.as_ref()?;
        let applies = self.url().is_none()
            && !(on(&self.fips) || on(&self.dual_stack))
            && LEGACY_REGIONS.contains(&region.value.as_str());
        let url = At { value: GLOBAL_STS.to_owned(), span };
        applies.then(|| Url::parse(&url, context.findings)).flatten()
    }

    /// What clients of the profile are told.
    pub(super) fn client(&self, last: &StsEndpoint) -> ClientSettings {
        let region = self.region.as_ref().map(|region| region.value.clone());
        let on_aws = last.dialect == Dialect::Aws && last.url.is_none();
        ClientSettings {
            region: region.or_else(|| on_aws.then(|| last.region.clone())),
            endpoint_url: self.endpoint_url.as_ref().map(|url| url.value.text()),
            sts_endpoint_url: self.sts_url.as_ref().map(|url| url.value.text()),
            ca_bundle: self.ca_bundle.as_ref().map(|path| path.value.clone()),
        }
    }

    /// Whether an endpoint is stated that is not AWS's.
    pub(super) fn has_own_url(&self) -> bool {
        self.url().is_some()
    }

    /// The STS of a hop of a profile with these settings, on the way to a profile with those of `leaf`; `None` where
    /// what was written about it is no good.
    pub(super) fn endpoint(
        &self,
        leaf: &Self,
        role: &At<RoleArn>,
        context: &Context<'_>,
    ) -> Option<StsEndpoint> {
        let stated = if self.states_endpoint() { self } else { leaf };
        if stated.obscure {
            return None;
        }
        let url = stated.url();
        let dialect = stated.dialect_of(&role.value);
        let region = self.region.as_ref().or(leaf.region.as_ref());
        if dialect == Dialect::Aws {
            check_partition(role, region, url, context);
        }
        // An endpoint of AWS's takes signatures for its own region alone, whichever the clients work in.
        let of_host = url.and_then(|url| url.value.aws_region());
        let region = of_host.or_else(|| region.map(|region| region.value.clone()));
        Some(StsEndpoint {
            dialect,
            url: url.map(|url| url.value.text()),
            region: region.unwrap_or_else(|| implicit_region(dialect, &role.value)),
            fips: stated.fips.as_ref().is_some_and(|fips| fips.value),
            dual_stack: stated.dual_stack.as_ref().is_some_and(|dual| dual.value),
            ca_bundle: stated.ca_bundle.as_ref().map(|path| path.value.clone()),
        })
    }

    /// The STS that is asked for a session of the user whose profile has these settings, on the way to a profile with
    /// those of `leaf`; `None` where what was written about it is no good.
    ///
    /// On AWS the region of `leaf` plays no part: one session of the user serves profiles of every region.
    pub(super) fn user_endpoint(
        &self,
        leaf: &Self,
        partition: Option<&str>,
    ) -> Option<StsEndpoint> {
        let stated = if self.states_endpoint() { self } else { leaf };
        if stated.obscure {
            return None;
        }
        let url = stated.url();
        let dialect = stated.dialect();
        let implicit = partition
            .and_then(Partition::named)
            .filter(|_| dialect == Dialect::Aws)
            .and_then(|partition| Region::parse(partition.implicit_region));
        let region = url.and_then(|url| url.value.aws_region());
        let region = region.or_else(|| self.region.as_ref().map(|region| region.value.clone()));
        Some(StsEndpoint {
            dialect,
            url: url.map(|url| url.value.text()),
            region: region.or(implicit).unwrap_or_else(Region::fallback),
            fips: stated.fips.as_ref().is_some_and(|fips| fips.value),
            dual_stack: stated.dual_stack.as_ref().is_some_and(|dual| dual.value),
            ca_bundle: stated.ca_bundle.as_ref().map(|path| path.value.clone()),
        })
    }

    /// Whose STS it is: as stated, or found out where that is certain.
    fn dialect(&self) -> Dialect {
        match (&self.dialect, self.url()) {
            (Some(dialect), _) => dialect.value,
            (None, Some(url)) if url.value.partition().is_none() => Dialect::Generic,
            (None, _) => Dialect::Aws,
        }
    }

    /// The same on the way to `role`: an ARN of `MinIO`'s own is taken by no other.
    fn dialect_of(&self, role: &RoleArn) -> Dialect {
        let dialect = self.dialect();
        let is_open = dialect == Dialect::Generic && self.dialect.is_none();
        if is_open && role.partition() == "minio" { Dialect::Minio } else { dialect }
    }

    /// The endpoint of STS: its own one goes before that of all services.
    fn url(&self) -> Option<&At<Url>> {
        self.sts_url.as_ref().or(self.endpoint_url.as_ref()).or(self.global.as_ref())
    }

    fn states_endpoint(&self) -> bool {
        self.url().is_some()
            || self.ca_bundle.is_some()
            || self.dialect.is_some()
            || self.fips.is_some()
            || self.dual_stack.is_some()
            || self.obscure
    }

    fn check(&self, context: &Context<'_>) {
        if let Some(dialect) = &self.dialect
            && dialect.value != Dialect::Aws
            && self.url().is_none()
            && !self.obscure
        {
            let title = format!("`sts = \"{}\"` without an address", dialect.value.as_str());
            let fault = Fault::error(dialect.span.clone(), title);
            context.findings.add(fault.help("add endpoint_url = \"https://...\"").absence());
        }
        let on = |flag: &Option<At<bool>>| flag.as_ref().filter(|flag| flag.value).cloned();
        for (key, flag) in [
            ("use_fips_endpoint", on(&self.fips)),
            ("use_dualstack_endpoint", on(&self.dual_stack)),
        ] {
            if let (Some(flag), Some(_)) = (flag, self.url()) {
                let title = format!("`{key}` with an endpoint of your own");
                let help = "keep one of them: it chooses among AWS's own endpoints";
                context.findings.add(Fault::error(flag.span, title).help(help));
            }
        }
    }
}

/// `services = { sts = { endpoint_url = "..." } }`, as AWS nests it.
fn sts_url<'a>(table: &mut Cursor<'a>) -> Option<Node<'a>> {
    let mut services = table.table("services")?;
    let sts = services.table("sts");
    services.finish(|node| {
        let title = format!("{} is a service that credbroker never calls", quoted(node.key));
        let help = "only sts is known here; endpoint_url is for all services";
        Some(Fault::error(node.key_span.clone(), title).help(help))
    });
    let mut sts = sts?;
    let url = sts.take("endpoint_url");
    sts.finish(|_| None);
    url
}

fn read_region(region: &At<String>, context: &Context<'_>) -> Option<At<Region>> {
    // S3-compatible systems have users write an empty region; it is the same as none.
    if region.value.is_empty() {
        return None;
    }
    if let Some(value) = Region::parse(&region.value) {
        return Some(At { value, span: region.span.clone() });
    }
    let title = format!("{} is no region", quoted(&region.value));
    let fault = Fault::error(region.span.clone(), title);
    context.findings.add(fault.help("a region looks like eu-west-1"));
    None
}

fn read_dialect(word: &At<String>, context: &Context<'_>) -> Option<At<Dialect>> {
    let all = [Dialect::Aws, Dialect::Ceph, Dialect::Minio, Dialect::Generic];
    if let Some(value) = all.into_iter().find(|dialect| dialect.as_str() == word.value) {
        return Some(At { value, span: word.span.clone() });
    }
    let title = format!("{} is no STS that is known", quoted(&word.value));
    let help = "write \"aws\", \"ceph\", \"minio\" or \"generic\"";
    context.findings.add(Fault::error(word.span.clone(), title).help(help));
    None
}

pub(super) fn read_ca_bundle(path: At<PathBuf>, context: &Context<'_>) -> Option<At<PathBuf>> {
    let mut outcome = Ok(());
    let path = context.readable(path, |path: &Path| {
        outcome = authorities::check(files::read_trusted(path, MAX_CA_BYTES)?.as_bytes());
        Ok(())
    })?;
    let Err(what) = outcome else { return Some(path) };
    let title = format!("{} holds {what}", path.value.display());
    let help = "a bundle is a PEM file: -----BEGIN CERTIFICATE----- ...";
    context.findings.add(Fault::error(path.span, title).help(help));
    None
}

/// AWS serves a role only in the partition that its ARN names.
fn check_partition(
    role: &At<RoleArn>,
    region: Option<&At<Region>>,
    url: Option<&At<Url>>,
    context: &Context<'_>,
) {
    let of_role = role.value.partition();
    if Partition::named(of_role).is_none() {
        let fault =
            Fault::error(role.span.clone(), format!("AWS has no partition {}", quoted(of_role)));
        context.findings.add(fault.help("is the STS AWS's own? else write endpoint_url and sts"));
        return;
    }
    let of_url = url.and_then(|url| Some((url.value.partition()?, &url.span)));
    let of_region =
        region.map(|region| (Partition::of_region(region.value.as_str()), &region.span));
    if let Some((partition, span)) = of_url.or(of_region)
        && partition.name != of_role
    {
        let title = format!("the role is in the partition {of_role}, this is {}", partition.name);
        let help = "AWS's partitions do not know each other's roles: change one of the two";
        context.findings.add(Fault::error(span.clone(), title).help(help));
    }
}

fn implicit_region(dialect: Dialect, role: &RoleArn) -> Region {
    let partition = match dialect {
        Dialect::Aws => Partition::named(role.partition()),
        Dialect::Ceph | Dialect::Generic | Dialect::Minio => None,
    };
    partition
        .and_then(|partition| Region::parse(partition.implicit_region))
        .unwrap_or_else(Region::fallback)
}

/// AWS's first STS, which is in us-east-1 and serves sessions for the whole partition.
const GLOBAL_STS: &str = "https://sts.amazonaws.com";

/// The regions for which `sts_regional_endpoints = legacy` means the global endpoint.
const LEGACY_REGIONS: &[&str] = &[
    "ap-northeast-1",
    "ap-south-1",
    "ap-southeast-1",
    "ap-southeast-2",
    "aws-global",
    "ca-central-1",
    "eu-central-1",
    "eu-north-1",
    "eu-west-1",
    "eu-west-2",
    "eu-west-3",
    "sa-east-1",
    "us-east-1",
    "us-east-2",
    "us-west-1",
    "us-west-2",
];

/// Largest bundle in bytes; the system's own has about 230 KB.
const MAX_CA_BYTES: u64 = 1 << 21;
