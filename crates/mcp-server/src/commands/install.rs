//! `install CLIENT` and `uninstall CLIENT`: write this server into a client's configuration, and take it out again.

mod confirm;
mod executable;
mod given;
mod report;

use std::path::{Path, PathBuf};
use std::process::ExitCode as ProcessCode;

use anyhow::{Context, anyhow, bail};
use clap::Args;
use serde_json::{Map, Value};

use super::exit_code::ExitCode;
use super::failure::Failure;
use super::json;
use crate::call::now;
use crate::clients::entry::{Entry, runs_this_server};
use crate::clients::file::ConfigFile;
use crate::clients::places::{Places, System, absolute};
use crate::clients::undo::{Undo, named, undo};
use crate::clients::{Client, Scope, difference, document, secrets};
use crate::stdio;
use crate::visible::visible;
use confirm::Answer;
use report::{Outcome, Printed, Report};

/// Longer names, together with a tool's, are dropped by some clients.
const LONGEST_NAME: usize = 32;

/// What to register, and where.
#[derive(Debug, Args)]
pub struct InstallArgs {
    /// Which client.
    pub client: Client,
    #[command(flatten)]
    place: PlaceArgs,
    /// A variable for the server's environment, NAME=VALUE; repeat it for several. Secrets are refused.
    #[arg(long = "env", value_name = "NAME=VALUE", value_parser = variable)]
    environment: Vec<(String, String)>,
    /// Print the entry, and the client's link that adds it, and change nothing.
    #[arg(long, conflicts_with_all = ["yes", "dry_run"])]
    print: bool,
}

/// What to take out, and where.
#[derive(Debug, Args)]
pub struct UninstallArgs {
    /// Which client.
    pub client: Client,
    #[command(flatten)]
    place: PlaceArgs,
}

/// Which file and which entry, and how sure.
#[derive(Debug, Args)]
struct PlaceArgs {
    /// Use the file of the project in the current directory, not the user's.
    #[arg(long, conflicts_with = "file")]
    project: bool,
    /// Use this file: another profile, or an edition of the client that keeps its own.
    #[arg(long, value_name = "PATH")]
    file: Option<PathBuf>,
    /// The name of the entry.
    #[arg(long, default_value = "async-query", value_parser = entry_name)]
    name: String,
    /// Do not ask.
    #[arg(long, short)]
    yes: bool,
    /// Show the change and make none.
    #[arg(long, conflicts_with = "yes")]
    dry_run: bool,
    /// For programs: one JSON document on one line; nobody is asked, so say --yes or --dry-run too.
    #[arg(long)]
    json: bool,
}

/// Registers this server with a client, run with the flags of this command line that are not `install`'s own.
pub async fn install(args: InstallArgs) -> ProcessCode {
    let as_json = args.place.json;
    super::end(register(args).await, as_json).await
}

async fn register(args: InstallArgs) -> Result<ExitCode, Failure> {
    let directory = std::env::current_dir().context("cannot tell the current directory")?;
    let entry = entry(&args, &directory)?;
    if args.print {
        return print(args.client, &args.place, &entry).await;
    }
    let place = Place::find(args.client, args.place, &directory)?;
    let file = ConfigFile::read(&place.path)?;
    let before = file.text().unwrap_or_default();
    let json = entry.to_json(place.client);
    let after = place.fitting(document::with_entry(before, place.client.key(), &place.name, &json))?;
    if after == before {
        let already = format!("{:?} is registered with {} already", place.name, place.client.name());
        return place.report(Outcome::AlreadyInstalled, "", &already).await;
    }
    if place.fitting(named(before, place.client.key(), &place.name))?.is_some_and(|old| !place.is_ours(&old))
    {
        let other = format!("this replaces an entry {:?} that runs something else", place.name);
        stdio::tell(&format!("async-query-mcp: {other}; --name keeps both\n")).await;
    }
    let change = change(&file, &after);
    if !place.agreed(&file, &change).await? {
        return Ok(ExitCode::Failed);
    }
    if place.dry_run {
        return place.report(Outcome::DryRun, &change, "").await;
    }
    file.check_writable()?;
    let kept = file.back_up(now())?;
    file.replace(&after)?;
    let kept = kept.map(|path| format!("The file as it was is {}. ", path.display())).unwrap_or_default();
    let done = format!("{:?} is registered with {}", place.name, place.client.name());
    place.report(Outcome::Installed, &change, &format!("{done}. {kept}{}", place.client.next_step())).await
}

/// Takes this server out of a client's configuration.
pub async fn uninstall(args: UninstallArgs) -> ProcessCode {
    let as_json = args.place.json;
    super::end(unregister(args).await, as_json).await
}

async fn unregister(args: UninstallArgs) -> Result<ExitCode, Failure> {
    let directory = std::env::current_dir().context("cannot tell the current directory")?;
    let place = Place::find(args.client, args.place, &directory)?;
    let file = ConfigFile::read(&place.path)?;
    let before = file.text().unwrap_or_default();
    let key = place.client.key();
    let Some(entry) = place.fitting(named(before, key, &place.name))? else {
        let none = format!("{} has no entry {:?}", file.path().display(), place.name);
        return place.report(Outcome::NotInstalled, "", &none).await;
    };
    if !place.is_ours(&entry) {
        return Err(anyhow!(
            "{:?} in {} runs something else; name another entry with --name, or remove it by hand",
            place.name,
            file.path().display()
        )
        .into());
    }
    let backups = file.backups();
    let texts: Vec<String> = backups.iter().map(|(_, text)| text.clone()).collect();
    let Some(undo) = place.fitting(undo(before, &texts, key, &place.name, &place.executable))? else {
        return place.report(Outcome::NotInstalled, "", "").await;
    };
    let after = match &undo {
        Undo::Restore(at) => texts.get(*at).map_or("", String::as_str),
        Undo::Remove => "",
        Undo::Edit(text) => text,
    };
    let change = change(&file, after);
    if !place.agreed(&file, &change).await? {
        return Ok(ExitCode::Failed);
    }
    if place.dry_run {
        return place.report(Outcome::DryRun, &change, "").await;
    }
    let what = carry_out(&file, &undo, after, &backups)?;
    let done = format!("{:?} is no longer registered with {}. {what}", place.name, place.client.name());
    place.report(Outcome::Uninstalled, &change, &done).await
}

fn carry_out(
    file: &ConfigFile,
    undo: &Undo,
    after: &str,
    backups: &[(PathBuf, String)],
) -> anyhow::Result<String> {
    match undo {
        Undo::Restore(at) => {
            file.replace(after)?;
            // The file and its copy are the same now.
            if let Some((copy, _)) = backups.get(*at) {
                std::fs::remove_file(copy).with_context(|| format!("cannot remove {}", copy.display()))?;
            }
            Ok("The file is what it was before.".to_owned())
        }
        Undo::Remove => {
            file.remove()?;
            Ok("The file held nothing else and is gone.".to_owned())
        }
        Undo::Edit(_) => {
            file.check_writable()?;
            let kept = file.back_up(now())?;
            file.replace(after)?;
            Ok(kept.map(|path| format!("The file as it was is {}.", path.display())).unwrap_or_default())
        }
    }
}

/// One entry in one file of one client.
struct Place {
    client: Client,
    path: PathBuf,
    name: String,
    executable: PathBuf,
    yes: bool,
    dry_run: bool,
    json: bool,
}

impl Place {
    fn find(client: Client, args: PlaceArgs, directory: &Path) -> Result<Self, Failure> {
        if args.json && !args.yes && !args.dry_run {
            let unasked = "nobody is asked with --json; say --yes to make the change, or --dry-run to see it";
            return Err(Failure::new(ExitCode::Usage, unasked));
        }
        Ok(Self::known(client, args, directory)?)
    }

    fn known(client: Client, args: PlaceArgs, directory: &Path) -> anyhow::Result<Self> {
        let scope = if args.project { Scope::Project } else { Scope::User };
        let variable = |name: &str| std::env::var_os(name).map(PathBuf::from);
        let places = Places { system: System::current(), variable: &variable, project: directory.to_owned() };
        let known =
            args.file.as_deref().map(|file| absolute(file, directory)).or_else(|| places.file(client, scope));
        let Some(path) = known else {
            bail!(match scope {
                Scope::Project => format!("{} has no file of a project; leave --project out", client.name()),
                Scope::User =>
                    "there is no home directory to find the file in; name it with --file".to_owned(),
            })
        };
        let executable = executable::path()?;
        let PlaceArgs { name, yes, dry_run, json, .. } = args;
        Ok(Self { client, path, name, executable, yes, dry_run, json })
    }

    fn is_ours(&self, entry: &Value) -> bool {
        runs_this_server(entry, &self.executable)
    }

    /// A broken file is the user's to mend.
    fn fitting<T>(&self, result: Result<T, document::Unfit>) -> anyhow::Result<T> {
        result.map_err(|unfit| {
            let path = self.path.display();
            anyhow::anyhow!("{path} was left as it is, because {unfit}. Mend it there and repeat the command")
        })
    }

    /// Shows the change and asks for it where that is needed.
    async fn agreed(&self, file: &ConfigFile, change: &str) -> Result<bool, Failure> {
        if self.json {
            return Ok(true);
        }
        match stdio::print(change).await {
            // Nothing is changed unseen, and to end in silence would look like success.
            Err(error) if !self.dry_run => {
                let unseen = format!("nothing was changed, because the change cannot be shown: {error}");
                return Err(Failure::new(ExitCode::Unreachable, unseen));
            }
            shown => shown?,
        }
        if self.yes || self.dry_run {
            return Ok(true);
        }
        match confirm::ask(&format!("Change {}?", shown(file.path()))).await {
            Answer::Yes => Ok(true),
            Answer::No => {
                stdio::tell("async-query-mcp: nothing was changed\n").await;
                Ok(false)
            }
            Answer::Nobody => Err(Failure::new(
                ExitCode::Usage,
                "nothing was changed, because there is no terminal to ask at. Repeat the command with --yes to make \
                 this change, or with --dry-run to only see it",
            )),
        }
    }

    async fn report(&self, outcome: Outcome, change: &str, message: &str) -> Result<ExitCode, Failure> {
        let (client, file) = (report::word(self.client), shown(&self.path));
        Report { outcome, client: &client, name: &self.name, file, change, message }.tell(self.json).await
    }
}

fn shown(path: &Path) -> String {
    visible(&path.display().to_string()).into_owned()
}

fn change(file: &ConfigFile, after: &str) -> String {
    difference::unified(&shown(file.path()), file.text().unwrap_or_default(), after)
}

fn entry(args: &InstallArgs, directory: &Path) -> anyhow::Result<Entry> {
    let flags = given::flags(std::env::args_os(), directory)?;
    for flag in &flags {
        if secrets::is_secret_name(&flag.name) || flag.value.as_deref().is_some_and(secrets::is_secret_value)
        {
            bail!(refusal(&format!("--{}", flag.name)));
        }
    }
    for (name, value) in &args.environment {
        let named = secrets::is_secret_name(name) && !secrets::is_reference(value);
        if named || secrets::is_secret_value(value) {
            bail!(refusal(&format!("--env {name}")));
        }
    }
    let command = executable::path()?;
    let command =
        command.to_str().context("the path of this program is not UTF-8; move it to one that is")?;
    Ok(Entry {
        command: command.to_owned(),
        args: flags.iter().flat_map(given::Flag::to_args).collect(),
        env: args.environment.clone(),
    })
}

fn refusal(what: &str) -> String {
    format!(
        "{what} looks like a secret, and a client's configuration is no place for one: it is read by other programs \
         and often shared. Put it into connections.toml with permissions 0600, name a file that holds it (such as \
         private_key_file), or set it in the environment that the client is started in"
    )
}

/// What a person can copy.
async fn print(client: Client, place: &PlaceArgs, entry: &Entry) -> Result<ExitCode, Failure> {
    let servers = Value::Object(Map::from_iter([(place.name.clone(), entry.to_json(client))]));
    let all = Value::Object(Map::from_iter([(client.key().to_owned(), servers)]));
    let link = entry.link(client, &place.name);
    let text = if place.json {
        json::line(&Printed { client: &report::word(client), entry: &all, link })
    } else {
        format!("{all:#}\n{}", link.map(|link| format!("\n{link}\n")).unwrap_or_default())
    };
    stdio::print(&text).await?;
    Ok(ExitCode::Success)
}

fn entry_name(text: &str) -> Result<String, String> {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    if text.is_empty() || text.len() > LONGEST_NAME || !text.chars().all(good) {
        return Err(format!("use 1 to {LONGEST_NAME} letters, digits, '-' or '_'"));
    }
    Ok(text.to_owned())
}

fn variable(text: &str) -> Result<(String, String), String> {
    let good = |c: char| c.is_ascii_alphanumeric() || c == '_';
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() && name.chars().all(good) => {
            Ok((name.to_owned(), value.to_owned()))
        }
        // Not the text itself: it may be a secret.
        Some(_) | None => Err("write it as NAME=VALUE, the name in letters, digits and '_'".to_owned()),
    }
}
