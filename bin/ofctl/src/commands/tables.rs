//! `dump-tables`, `dump-table-features`, `dump-table-desc`, `mod-table`.

use cli::program;
use openflow::Version;
use openflow::message::table::TABLE_ALL;
use openflow::message::{Message, TableDesc, TableMod, table_features};
use openflow::parse::table::parse_table_mod;
use openflow::print::table::FeaturesDump;

use crate::session::Session;
use crate::settings::Settings;
use crate::{Done, Failure};

/// `dump-tables SWITCH`.
pub(super) fn dump_tables(settings: &Settings, args: &[String]) -> Done {
    Session::open(&args[0], settings)?.dump(&Message::TableStatsRequest, settings)
}

/// `dump-table-features SWITCH`: parts of the answer are shown as one.
pub(super) fn dump_features(settings: &Settings, args: &[String]) -> Done {
    let session = Session::open(&args[0], settings)?;
    let version = session.version;
    if version < Version::V13 {
        return Err("dump-table-features needs OpenFlow 1.3 or later ('-O OpenFlow13')".into());
    }
    let mut dump = FeaturesDump::default();
    let mut out = String::new();
    session.each_part(&Message::TableFeaturesRequest(Vec::new()), "dump table features", |msg| {
        if let Message::TableFeaturesReply(tables) = msg.body {
            for table in &tables {
                dump.add(&mut out, table, version);
            }
        }
        Ok(())
    })?;
    dump.finish(&mut out);
    program::print(out.strip_prefix('\n').unwrap_or(&out));
    program::print("\n");
    Ok(())
}

/// `dump-table-desc SWITCH`.
pub(super) fn dump_desc(settings: &Settings, args: &[String]) -> Done {
    let session = Session::open(&args[0], settings)?;
    if session.version < Version::V14 {
        return Err("dump-table-desc needs OpenFlow 1.4 or later ('-O OpenFlow14')".into());
    }
    session.dump(&Message::TableDescRequest, settings)
}

/// The configuration of a table, so that a change leaves the rest alone.
fn fetch(session: &Session, table: u8) -> Result<Option<TableDesc>, Failure> {
    let mut found = None;
    session.each_part(&Message::TableDescRequest, "table desc", |msg| {
        if let Message::TableDescReply(tables) = msg.body {
            found = found.or_else(|| tables.into_iter().find(|t| t.table_id == table));
        }
        Ok(())
    })?;
    Ok(found)
}

/// `mod-table SWITCH TABLE SETTING`.
pub(super) fn mod_table(settings: &Settings, args: &[String]) -> Done {
    let named = if settings.accepts_names() { Some(Session::open(&args[0], settings)?) } else { None };
    let names = named.as_ref().map_or(openflow::names::Names::NONE, Session::names);
    let parsed = super::flows::noting(names, |names| parse_table_mod(&args[1], &args[2], names))?;
    let allowed = settings.versions;
    let usable = parsed.usable.and(allowed);
    if usable.is_empty() {
        return Err(Failure::Text(format!(
            "table_mod '{}' requires one of the OpenFlow versions {}",
            args[2],
            parsed.usable.names()
        )));
    }
    let narrowed = Settings { versions: usable, ..settings.clone() };
    let session = Session::open(&args[0], &narrowed)?;
    if named.is_some() {
        session.set_next_xid(4);
    }
    if let Some(name) = &parsed.name {
        return rename(&session, parsed.table_mod.table_id, name, settings);
    }
    let mut table_mod = parsed.table_mod;
    if session.version >= Version::V14 {
        let ids = if table_mod.table_id == TABLE_ALL { 0..=253 } else { table_mod.table_id..=table_mod.table_id };
        for id in ids {
            let one = TableMod { table_id: id, ..table_mod };
            let merged = merge(&session, one)?;
            let request = session.encode(&Message::TableMod(merged))?;
            session.change(&request, settings)?;
        }
        return Ok(());
    }
    table_mod.table_vacancy.vacancy = 0;
    let request = session.encode(&Message::TableMod(table_mod))?;
    session.change(&request, settings)
}

/// Takes over from the table's configuration what the change does not speak of.
fn merge(session: &Session, mut table_mod: TableMod) -> Result<TableMod, Failure> {
    let desc = fetch(session, table_mod.table_id)?;
    if table_mod.eviction.is_none() {
        table_mod.eviction = desc.and_then(|desc| desc.eviction);
        table_mod.eviction_flags = desc.map_or(0, |desc| desc.eviction_flags);
    }
    if let Some(desc) = desc.filter(|_| table_mod.vacancy.is_none()) {
        table_mod.vacancy = desc.vacancy;
        table_mod.table_vacancy = desc.table_vacancy;
    }
    table_mod.table_vacancy.vacancy = 0;
    Ok(table_mod)
}

/// Gives a table a name: features, changed and sent back. Before 1.5 those of all tables, as a table that goes
/// without saying is one that is to go.
fn rename(session: &Session, table: u8, name: &str, settings: &Settings) -> Done {
    let mut tables = Vec::new();
    session.each_part(&Message::TableFeaturesRequest(Vec::new()), "table features", |msg| {
        if let Message::TableFeaturesReply(more) = msg.body {
            tables.extend(more);
        }
        Ok(())
    })?;
    let features = tables.iter_mut().find(|t| t.table_id == table);
    let features = features.ok_or_else(|| format!("switch does not have table {table}"))?;
    features.name = name.to_string();
    if session.version >= openflow::Version::V15 {
        features.command = table_features::MODIFY;
        tables.retain(|t| t.table_id == table);
    }
    let request = session.encode(&Message::TableFeaturesRequest(tables))?;
    let reply = session.transact(&request)?;
    if crate::session::is_error(&reply) {
        program::eprint_quiet(&session.text(&reply, settings, 2));
        return Err(Failure::Said);
    }
    Ok(())
}
