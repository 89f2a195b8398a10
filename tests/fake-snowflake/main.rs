//! The stand-in for Snowflake as a program.

#![expect(clippy::print_stdout, reason = "the address and the usage are for whoever started the program")]

use std::path::PathBuf;

use support::fake_snowflake::FakeSnowflake;
use support::fake_snowflake::options::Options;

const USAGE: &str = "\
A stand-in for Snowflake. Prints its address on the first line and serves until it is stopped.

Usage: fake-snowflake [--port PORT] [--state FILE] [--log FILE] [--faults FILE] [--option NAME=VALUE]...";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    if std::env::args().skip(1).any(|argument| ["--help", "-h"].contains(&argument.as_str())) {
        println!("{USAGE}");
        return Ok(());
    }
    let service = FakeSnowflake::start_blocking(options(std::env::args().skip(1))?)?;
    println!("{}", service.address);
    loop {
        std::thread::park();
    }
}

fn options(mut arguments: impl Iterator<Item = String>) -> Result<Options, String> {
    let mut options = Options::default();
    while let Some(flag) = arguments.next() {
        let value = arguments.next().ok_or_else(|| format!("{flag} needs a value"))?;
        match flag.as_str() {
            "--port" => options.port = value.parse().map_err(|_| format!("no port: {value:?}"))?,
            "--state" => options.state = Some(PathBuf::from(value)),
            "--log" => options.log = Some(PathBuf::from(value)),
            "--faults" => options.faults = Some(PathBuf::from(value)),
            "--option" => {
                let (name, value) = value.split_once('=').ok_or("--option takes NAME=VALUE")?;
                options.set(name, value)?;
            }
            _ => {
                return Err(format!(
                    "unknown flag {flag}: use --port, --state, --log, --faults or --option NAME=VALUE"
                ));
            }
        }
    }
    Ok(options)
}
