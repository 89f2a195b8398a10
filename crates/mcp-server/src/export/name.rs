//! Names that a file may be given: plain ones that mean the same on every system and lead nowhere else.

use super::Format;
use crate::visible::is_hidden;

/// Room for the longest name that every file system takes.
const MOST_BYTES: usize = 200;
/// Names of devices on Windows, whatever follows after a dot.
const DEVICES: [&str; 4] = ["con", "prn", "aux", "nul"];
const NUMBERED_DEVICES: [&str; 2] = ["com", "lpt"];
const DEVICE_NUMBERS: &str = "0123456789¹²³";

/// The file name to use for `asked`, with the ending of `format`; or what is wrong with it.
pub fn file_name(asked: &str, format: Format) -> Result<String, String> {
    if let Some(problem) = problem(asked) {
        return Err(problem);
    }
    let name = match Format::of_name(asked) {
        Some(ending) if ending == format => asked.to_owned(),
        Some(_) => return Err(format!("its ending does not fit the format {}", format.as_str())),
        None => format!("{asked}.{}", format.as_str()),
    };
    if name.len() > MOST_BYTES {
        return Err(format!("it is longer than {MOST_BYTES} bytes"));
    }
    Ok(name)
}

fn problem(name: &str) -> Option<String> {
    let problem = match name {
        "" => "it is empty",
        _ if name.contains(['/', '\\', ':']) => "it is a path, and only a plain file name is taken",
        _ if name.starts_with(['.', ' ', '-']) => "it begins with a dot, a blank or a dash",
        _ if name.ends_with(['.', ' ']) => "it ends with a dot or a blank",
        _ if name.contains("..") => "it has two dots in a row",
        _ if is_device(name) => "Windows has a device of this name",
        _ => {
            let strange = name.chars().find(|&c| !is_plain(c))?;
            return Some(format!(
                "it has the character {strange:?}; use letters, digits, '-', '_', '.' and blanks"
            ));
        }
    };
    Some(problem.to_owned())
}

/// Some letters have no form that an eye could see.
fn is_plain(c: char) -> bool {
    (c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | ' ')) && !is_hidden(c)
}

fn is_device(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or_default().trim_end().to_lowercase();
    let numbered = |device: &&str| {
        stem.strip_prefix(*device).is_some_and(|number| {
            number.chars().count() == 1 && number.chars().all(|c| DEVICE_NUMBERS.contains(c))
        })
    };
    DEVICES.contains(&stem.as_str()) || NUMBERED_DEVICES.iter().any(numbered)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_name_gets_the_ending_of_its_format() {
        for (asked, format, expected) in [
            ("report", Format::Csv, "report.csv"),
            ("report.csv", Format::Csv, "report.csv"),
            ("Report.CSV", Format::Csv, "Report.CSV"),
            ("rows.jsonl", Format::Jsonl, "rows.jsonl"),
            ("sales 2026-11.v2", Format::Jsonl, "sales 2026-11.v2.jsonl"),
            ("отчёт_東京", Format::Csv, "отчёт_東京.csv"),
            ("authorized_keys", Format::Csv, "authorized_keys.csv"),
            ("console", Format::Csv, "console.csv"),
            ("com10", Format::Csv, "com10.csv"),
        ] {
            assert_eq!(file_name(asked, format).as_deref(), Ok(expected));
        }
    }

    #[test]
    fn no_name_leads_out_of_the_directory_or_means_something_else() {
        let long = "x".repeat(MOST_BYTES);
        let escapes = [
            "",
            ".",
            "..",
            "../x.csv",
            "a/../../x.csv",
            "a/b.csv",
            "/etc/passwd",
            "/x.csv",
            "//server/share/x.csv",
            "\\\\server\\share\\x.csv",
            "..\\x.csv",
            "C:\\x.csv",
            "C:x.csv",
            "x.csv:stream",
            "\\\\?\\C:\\x.csv",
            "\\\\.\\pipe\\x",
            "file:///x.csv",
            "~/x.csv",
            "x\0.csv",
            "x.csv\0.txt",
            "x\n.csv",
            "x\u{1b}[2J.csv",
            ".bashrc",
            ".x.csv",
            " x.csv",
            "-rf.csv",
            "x.",
            "x.csv.",
            "x.csv ",
            "x..csv",
            "CON",
            "con.csv",
            "Aux.csv",
            "nul",
            "nul .csv",
            "COM1",
            "com1.csv",
            "LPT9.csv",
            "com¹.csv",
            "prn.x.csv",
            "x\u{202e}vsc.csv",
            "\u{200b}x.csv",
            "x\u{ff0f}y.csv",
            "x\u{2215}y.csv",
            "\u{2024}\u{2024}.csv",
            "\u{3164}.csv",
            "\u{feff}x.csv",
            "%2e%2e%2fx.csv",
            "$HOME.csv",
            "*.csv",
            "x?.csv",
            "x|y.csv",
            "<x>.csv",
            "\"x\".csv",
            long.as_str(),
        ];
        for escape in escapes {
            assert!(file_name(escape, Format::Csv).is_err(), "{escape:?}");
        }
    }

    #[test]
    fn an_ending_of_the_other_format_is_refused() {
        assert!(file_name("x.jsonl", Format::Csv).unwrap_err().contains("csv"));
        assert!(file_name("x.csv", Format::Jsonl).unwrap_err().contains("jsonl"));
    }

    proptest::proptest! {
        #[test]
        fn any_name_is_refused_or_leads_nowhere_else(asked in ".{0,260}", tame in "[a-z0-9._ -]{0,210}") {
            for asked in [asked.as_str(), tame.as_str()] {
                for format in [Format::Csv, Format::Jsonl] {
                    let Ok(name) = file_name(asked, format) else { continue };
                    let parts: Vec<_> = std::path::Path::new(&name).components().collect();
                    proptest::prop_assert!(matches!(parts[..], [std::path::Component::Normal(part)] if part == &*name));
                    proptest::prop_assert!(name.len() <= MOST_BYTES && !name.contains(['/', '\\', ':', '\0']));
                    proptest::prop_assert_eq!(file_name(&name, format), Ok(name.clone()));
                }
            }
        }
    }
}
