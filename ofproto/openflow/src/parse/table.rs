//! Table-mods from text: `controller`, `evict`, `vacancy:10,20`.

use crate::message::TableMod;
use crate::message::table::{TABLE_ALL, TableMiss, Vacancy};
use crate::names::Names;
use crate::{Version, VersionSet};

/// A table-mod from text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParsedTableMod {
    /// The table-mod.
    pub table_mod: TableMod,
    /// New name of the table (`name:…`), which takes another message.
    pub name: Option<String>,
    /// Versions that can say it.
    pub usable: VersionSet,
}

/// Reads a setting of a table.
///
/// # Errors
/// A text for a user.
pub fn parse_table_mod(table: &str, setting: &str, names: Names<'_>) -> Result<ParsedTableMod, String> {
    let all = table.eq_ignore_ascii_case("all");
    let table_id =
        if all { TABLE_ALL } else { names.parse_table(table).ok_or_else(|| format!("unknown table \"{table}\""))? };
    let mut table_mod = TableMod {
        table_id,
        miss: TableMiss::Default,
        eviction: None,
        eviction_flags: u32::MAX,
        vacancy: None,
        table_vacancy: Vacancy::default(),
    };
    let since = |v: Version| VersionSet(VersionSet::ALL.0 & !((1 << v.wire()) - 1));
    let v11 = VersionSet::of(Version::V11).with(Version::V12);
    let mut name = None;
    let usable = match setting {
        "controller" => {
            table_mod.miss = TableMiss::Controller;
            v11
        }
        "continue" if table_id == 254 => return Err("last table's flow miss handling can not be continue".to_owned()),
        "continue" => {
            table_mod.miss = TableMiss::Continue;
            v11
        }
        "drop" => {
            table_mod.miss = TableMiss::Drop;
            v11
        }
        "evict" => {
            table_mod.eviction = Some(true);
            since(Version::V14)
        }
        "noevict" => {
            table_mod.eviction = Some(false);
            since(Version::V14)
        }
        "novacancy" => {
            table_mod.vacancy = Some(false);
            since(Version::V14)
        }
        other => {
            if let Some(range) = other.strip_prefix("vacancy:") {
                table_mod.vacancy = Some(true);
                table_mod.table_vacancy = vacancy(range)?;
                since(Version::V14)
            } else if let Some(new) = other.strip_prefix("name:").filter(|_| !all) {
                name = Some(new.to_string());
                since(Version::V13)
            } else {
                return Err(format!("invalid table_mod setting {other}"));
            }
        }
    };
    Ok(ParsedTableMod { table_mod, name, usable })
}

fn percent(text: &str) -> Option<u8> {
    text.parse::<u8>().ok().filter(|p| *p <= 100)
}

fn vacancy(text: &str) -> Result<Vacancy, String> {
    let (down, up) = text.split_once(',').unwrap_or((text, ""));
    if down.is_empty() {
        return Err("Vacancy down value missing".to_string());
    }
    let down_value = percent(down).ok_or_else(|| format!("Invalid vacancy down value \"{down}\""))?;
    if up.is_empty() {
        return Err("Vacancy up value missing".to_string());
    }
    let up_value = percent(up).ok_or_else(|| format!("Invalid vacancy up value \"{up}\""))?;
    if down_value > up_value {
        let range = "Invalid vacancy range, vacancy up should be greater than vacancy down";
        return Err(format!("{range} ({})", crate::ErrorCode::OFPBPC_BAD_VALUE));
    }
    Ok(Vacancy { down: down_value, up: up_value, vacancy: 0 })
}
