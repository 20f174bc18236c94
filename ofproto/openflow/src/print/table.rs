//! Tables as text: features, statistics, descriptions.

use std::fmt::Write;

use flow::field::Field;

use crate::Version;
use crate::message::table::{TABLE_ALL, TableMiss, TableReason, eviction_flag};
use crate::message::table_features::{ActionFeatures, InstructionFeatures};
use crate::message::{FieldSet, TableDesc, TableFeatures, TableMod, TableStats, TableStatus};
use crate::names::Style;

const EVICTION_FLAGS: &[(u32, &str)] = &[
    (eviction_flag::OTHER, "OTHER"),
    (eviction_flag::IMPORTANCE, "IMPORTANCE"),
    (eviction_flag::LIFETIME, "LIFETIME"),
];

/// Names of instructions by number.
const INSTRUCTIONS: [(u16, &str); 6] = [
    (6, "meter"),
    (4, "apply_actions"),
    (5, "clear_actions"),
    (3, "write_actions"),
    (2, "write_metadata"),
    (1, "goto_table"),
];

fn miss_name(miss: TableMiss) -> &'static str {
    match miss {
        TableMiss::Default => "default",
        TableMiss::Controller => "controller",
        TableMiss::Continue => "continue",
        TableMiss::Drop => "drop",
    }
}

fn on_off(value: Option<bool>) -> &'static str {
    match value {
        Some(true) => "on",
        Some(false) => "off",
        None => "***error***",
    }
}

pub(super) fn table_mod(out: &mut String, table_mod: &TableMod, style: &Style<'_>) {
    if table_mod.table_id == TABLE_ALL {
        out.push_str(" table_id: ALL_TABLES");
    } else {
        put!(out, " table_id={}", style.names.table(table_mod.table_id));
    }
    if table_mod.miss != TableMiss::Default {
        put!(out, ", flow_miss_config={}", miss_name(table_mod.miss));
    }
    // Flags that stand beside the setting are taken for it.
    match (table_mod.eviction_flags, table_mod.eviction) {
        (3..=0xffff_fffe, _) => out.push_str(", eviction=***error***"),
        (u32::MAX, None) if table_mod.vacancy.is_some() => out.push_str(", eviction=***error***"),
        (_, Some(_)) => put!(out, ", eviction={}", on_off(table_mod.eviction)),
        (_, None) => {}
    }
    if table_mod.vacancy.is_some() {
        put!(out, ", vacancy={}", on_off(table_mod.vacancy));
        if table_mod.vacancy == Some(true) {
            put!(out, " vacancy:{},{}", table_mod.table_vacancy.down, table_mod.table_vacancy.up);
        }
    }
}

pub(super) fn desc(out: &mut String, desc: &TableDesc, style: &Style<'_>) {
    put!(out, "\n  table {}", style.names.table(desc.table_id));
    out.push_str(":\n");
    put!(out, "   eviction={} eviction_flags=", on_off(desc.eviction));
    match desc.eviction_flags {
        u32::MAX => out.push_str("(default)"),
        flags => super::bit_names(out, flags, EVICTION_FLAGS, '|'),
    }
    out.push('\n');
    put!(out, "   vacancy={}", on_off(desc.vacancy));
    if desc.vacancy == Some(true) {
        let vacancy = &desc.table_vacancy;
        put!(out, " vacancy_down={}%", vacancy.down);
        put!(out, " vacancy_up={}%", vacancy.up);
        put!(out, " vacancy={}%", vacancy.vacancy);
    }
    out.push('\n');
}

pub(super) fn descs(out: &mut String, tables: &[TableDesc], style: &Style<'_>) {
    for table in tables {
        desc(out, table, style);
    }
}

pub(super) fn status(out: &mut String, status: &TableStatus, style: &Style<'_>) {
    out.push_str(match status.reason {
        TableReason::VacancyDown => " reason=VACANCY_DOWN",
        TableReason::VacancyUp => " reason=VACANCY_UP",
    });
    out.push_str("\ntable_desc:-");
    desc(out, &status.desc, style);
}

/// Appends field names, those with a common beginning gathered in braces, runs of numbered ones shortened.
fn names(out: &mut String, list: &[&str]) {
    let lists: Vec<&str> = list.to_vec();
    out.push_str(&braces(&lists, ' '));
}

/// Names in their order; neighbours that share what comes before an underscore are put together.
fn braces(list: &[&str], separator: char) -> String {
    let mut out = String::new();
    let mut i = 0;
    while i < list.len() {
        if i > 0 {
            out.push(separator);
        }
        let run = numbered_run(&list[i..]);
        if run > 1 {
            put!(out, "{}...{}", list[i], list[i + run - 1]);
            i += run;
            continue;
        }
        let Some(at) = list[i].find('_') else {
            out.push_str(list[i]);
            i += 1;
            continue;
        };
        let prefix = &list[i][..=at];
        let n = list[i..].iter().take_while(|name| name.starts_with(prefix)).count();
        if n < 2 {
            out.push_str(list[i]);
        } else {
            let tails: Vec<&str> = list[i..i + n].iter().map(|name| &name[at + 1..]).collect();
            put!(out, "{prefix}{{{}}}", braces(&tails, ','));
        }
        i += n.max(1);
    }
    out
}

/// How many of the first names count up by one.
fn numbered_run(list: &[&str]) -> usize {
    let split = |name: &str| {
        let stem = name.trim_end_matches(|c: char| c.is_ascii_digit()).len();
        name[stem..].parse::<u32>().ok().map(|n| (stem, n))
    };
    let Some((stem, first)) = list.first().and_then(|name| split(name)) else { return 0 };
    let stem_text = &list[0][..stem];
    let follows = |(i, name): &(usize, &&str)| {
        split(name).is_some_and(|(s, n)| &name[..s] == stem_text && n == first + *i as u32)
    };
    list.iter().enumerate().take_while(follows).count()
}

fn field_names(out: &mut String, fields: impl Iterator<Item = Field>) {
    let mut fields: Vec<Field> = fields.collect();
    fields.sort_by_key(|f| f.index());
    let list: Vec<&str> = fields.into_iter().map(Field::name).collect();
    names(out, &list);
}

fn next_tables(next: &[u8; 32]) -> String {
    let has = |t: usize| t < 256 && next[t / 8] & (1 << (t % 8)) != 0;
    let mut out = String::new();
    let mut table = 0;
    while table < 256 {
        if !has(table) {
            table += 1;
            continue;
        }
        let first = table;
        while has(table + 1) {
            table += 1;
        }
        if first == table {
            put!(out, "{first},");
        } else {
            put!(out, "{first}-{table},");
        }
        table += 1;
    }
    if out.ends_with(',') {
        out.pop();
    }
    if out.is_empty() { "none".to_string() } else { out }
}

fn instruction_names(instructions: u32) -> String {
    let names: Vec<&str> =
        INSTRUCTIONS.iter().filter(|(number, _)| instructions & (1 << number) != 0).map(|(_, name)| *name).collect();
    names.join(" ")
}

fn action_features(out: &mut String, actions: &ActionFeatures, version: Version) {
    // A part that is empty is not shown.
    let names = actions.actions.names();
    if !names.is_empty() {
        put!(out, "        actions: {}\n", names.join(" "));
    }
    if version >= Version::V12 && !actions.set_fields.is_empty() {
        out.push_str("        supported on Set-Field: ");
        field_names(out, actions.set_fields.iter());
        out.push('\n');
    }
}

fn same_actions(a: &InstructionFeatures, b: Option<&InstructionFeatures>) -> bool {
    b.is_some_and(|b| a.write == b.write && a.apply == b.apply && !a.write.set_fields.is_empty())
}

fn instructions(out: &mut String, rules: &InstructionFeatures, before: Option<&InstructionFeatures>, version: Version) {
    if rules.next != [0; 32] {
        put!(out, "      next tables: {}\n", next_tables(&rules.next));
    }
    if rules.instructions == 0 {
        // Not even that they are the same.
    } else if before.is_some_and(|b| b.instructions == rules.instructions) {
        out.push_str("      (same instructions)\n");
    } else {
        put!(out, "      instructions: {}\n", instruction_names(rules.instructions));
    }
    let nothing = rules.write == ActionFeatures::default() && rules.apply == rules.write;
    if nothing {
        return;
    }
    if same_actions(rules, before) {
        out.push_str("      (same actions)\n");
    } else if rules.write == rules.apply {
        out.push_str("      Write-Actions and Apply-Actions features:\n");
        action_features(out, &rules.write, version);
    } else {
        out.push_str("      Write-Actions features:\n");
        action_features(out, &rules.write, version);
        out.push_str("      Apply-Actions features:\n");
        action_features(out, &rules.apply, version);
    }
}

fn same_rules(a: &InstructionFeatures, b: &InstructionFeatures) -> bool {
    a == b
}

fn matching(out: &mut String, features: &TableFeatures, before: Option<&TableFeatures>) {
    // Which of the fields may be left out makes no difference here.
    let same = |a: &TableFeatures| a.matching == features.matching && a.mask == features.mask;
    let nothing = features.matching.is_empty() && features.mask.is_empty();
    if before.is_some_and(same) && !nothing {
        out.push_str("    (same matching)\n");
        return;
    }
    let (mut arbitrary, mut wild, mut exact) = (FieldSet::EMPTY, FieldSet::EMPTY, FieldSet::EMPTY);
    let mut all = features.matching;
    for field in features.wildcard.iter() {
        all.insert(field);
    }
    for field in all.iter() {
        let set =
            match (features.matching.contains(field), features.mask.contains(field), features.wildcard.contains(field))
            {
                (true, true, _) => &mut arbitrary,
                (true, false, true) => &mut wild,
                (true, false, false) => &mut exact,
                (false, ..) => continue,
            };
        set.insert(field);
    }
    if !arbitrary.is_empty() || !wild.is_empty() || !exact.is_empty() {
        out.push_str("    matching:\n");
    }
    for (title, set) in [("arbitrary mask", arbitrary), ("exact match or wildcard", wild), ("must exact match", exact)]
    {
        if !set.is_empty() {
            put!(out, "      {title}: ");
            field_names(out, set.iter());
            out.push('\n');
        }
    }
}

/// Whether nothing but name, number, command and what may be left out differs, and the next tables in no more than that.
fn same_features(a: &TableFeatures, b: &TableFeatures) -> bool {
    let (a, b) = without_own(a, b);
    a == b
}

/// Two tables without names, numbers and what may be left out, and without the tables up to either as next ones.
fn without_own(a: &TableFeatures, b: &TableFeatures) -> (TableFeatures, TableFeatures) {
    let last = a.table_id.max(b.table_id);
    let strip = |f: &TableFeatures| {
        let mut f =
            TableFeatures { table_id: 0, command: 0, name: String::new(), wildcard: FieldSet::EMPTY, ..f.clone() };
        for table in 0..=last {
            f.nonmiss.next[usize::from(table / 8)] &= !(1 << (table % 8));
            f.miss_rules.next[usize::from(table / 8)] &= !(1 << (table % 8));
        }
        f
    };
    (strip(a), strip(b))
}

/// What a request is to do with a table, by number; to replace its features goes without saying.
const TABLE_COMMANDS: [Option<&str>; 4] = [None, Some("modify"), Some("enable"), Some("disable")];

/// Appends a table as it comes: one unlike the one `before` it is shown, others are counted.
fn one(
    out: &mut String,
    features: &TableFeatures,
    before: Option<&TableFeatures>,
    stats: Option<(&TableStats, Option<&TableStats>)>,
    version: Version,
    dittos: &mut Option<(u8, u8)>,
) {
    let same_counts = match stats {
        Some((now, Some(before))) => {
            now.active_count == before.active_count
                && now.lookup_count == before.lookup_count
                && now.matched_count == before.matched_count
        }
        Some((_, None)) => false,
        None => true,
    };
    let same = before.is_some_and(|b| same_features(features, b));
    if same && same_counts && features.name.is_empty() {
        let first = dittos.map_or(features.table_id, |(first, _)| first);
        *dittos = Some((first, features.table_id));
        return;
    }
    ditto(out, dittos);
    // What is to be done is told of the first alone.
    let command = TABLE_COMMANDS.get(usize::from(features.command)).copied().flatten();
    if let Some(command) = command.filter(|_| before.is_none()) {
        put!(out, "\n  command: {command}");
    }
    put!(out, "\n  table {}", features.table_id);
    if !features.name.is_empty() {
        put!(out, " (\"{}\")", features.name);
    }
    if same && same_counts {
        out.push_str(": ditto");
        return;
    }
    out.push_str(":\n");
    if let Some((now, _)) = stats {
        put!(out, "    active={}, ", now.active_count);
        put!(out, "lookup={}, ", now.lookup_count);
        put!(out, "matched={}\n", now.matched_count);
        if version >= Version::V13 {
            return;
        }
        if same {
            if version < Version::V13 {
                out.push_str("    (same features)\n");
            }
            return;
        }
    }
    full(out, features, before, version);
}

fn full(out: &mut String, features: &TableFeatures, before: Option<&TableFeatures>, version: Version) {
    if features.metadata_match != 0 || features.metadata_write != 0 {
        let number = |n: u64| if n == 0 { "0".to_string() } else { format!("{n:#x}") };
        put!(
            out,
            "    metadata: match={} write={}\n",
            number(features.metadata_match),
            number(features.metadata_write)
        );
    }
    if features.miss != TableMiss::Default {
        put!(out, "    config={}\n", miss_name(features.miss));
    }
    let not = |value: Option<bool>| if value == Some(true) { "" } else { "not " };
    if features.eviction.is_some() {
        put!(out, "    eviction: {}supported\n", not(features.eviction));
    }
    if features.vacancy.is_some() {
        put!(out, "    vacancy events: {}supported\n", not(features.vacancy));
    }
    if features.max_entries != 0 {
        put!(out, "    max_entries={}\n", features.max_entries);
    }
    let has_instructions =
        features.nonmiss != InstructionFeatures::default() || features.miss_rules != InstructionFeatures::default();
    let same = |b: &TableFeatures| {
        let (now, before) = without_own(features, b);
        now.nonmiss == before.nonmiss && now.miss_rules == before.miss_rules
    };
    if has_instructions && before.is_some_and(same) {
        out.push_str("    (same instructions)\n");
    } else if has_instructions || matches!(version, Version::V13 | Version::V14) {
        let (nonmiss, miss) = (&features.nonmiss, &features.miss_rules);
        if same_rules(nonmiss, miss) {
            out.push_str("    instructions (table miss and others):\n");
            instructions(out, nonmiss, before.map(|b| &b.nonmiss), version);
        } else {
            out.push_str("    instructions (other than table miss):\n");
            instructions(out, nonmiss, before.map(|b| &b.nonmiss), version);
            out.push_str("    instructions (table miss):\n");
            instructions(out, miss, before.map(|b| &b.miss_rules), version);
        }
    }
    matching(out, features, before);
}

/// Closes a run of tables that were like the one before: its first and its last.
fn ditto(out: &mut String, dittos: &mut Option<(u8, u8)>) {
    let Some((first, last)) = dittos.take() else { return };
    if first == last {
        put!(out, "\n  table {first}: ditto\n");
    } else {
        put!(out, "\n  tables {first}...{last}: ditto\n");
    }
}

/// Appends table features.
pub fn features(out: &mut String, tables: &[TableFeatures], version: Version) {
    let mut dump = FeaturesDump::default();
    for table in tables {
        dump.add(out, table, version);
    }
    dump.finish(out);
}

/// Table features that come in several messages.
#[derive(Clone, Debug, Default)]
pub struct FeaturesDump {
    before: Option<TableFeatures>,
    dittos: Option<(u8, u8)>,
}

impl FeaturesDump {
    /// Appends a table, unless it is like the one before.
    pub fn add(&mut self, out: &mut String, table: &TableFeatures, version: Version) {
        one(out, table, self.before.as_ref(), None, version, &mut self.dittos);
        self.before = Some(table.clone());
    }

    /// Appends what was left out since the last table shown.
    pub fn finish(&mut self, out: &mut String) {
        ditto(out, &mut self.dittos);
    }
}

pub(super) fn stats(out: &mut String, tables: &[TableStats], version: Version) {
    let mut dittos = None;
    let mut before: Option<&TableStats> = None;
    for table in tables {
        let counts = Some((table, before));
        one(out, &table.features, before.map(|b| &b.features), counts, version, &mut dittos);
        before = Some(table);
    }
    ditto(out, &mut dittos);
}
