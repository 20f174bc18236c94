//! Writes the built-in schema as tables of Rust, so that no program reads its JSON at every start: that was a third of
//! what `ovs-vsctl add-port` ran. What is read here is `schema/vswitch.ovsschema`; what it means stands in
//! `src/vswitch.rs`, and a test there compares both.

use std::error::Error;
use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs};

use serde_json::{Map, Value};

const SCHEMA: &str = "schema/vswitch.ovsschema";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={SCHEMA}");
    println!("cargo::rerun-if-changed=build.rs");
    let schema: Value = serde_json::from_str(&fs::read_to_string(SCHEMA)?)?;
    let mut out = format!(
        "const NAME: &str = {:?};\nconst VERSION: &str = {:?};\nconst CKSUM: &str = {:?};\n\nstatic TABLES: &[Table] = &[\n",
        text(&schema["name"])?,
        text(&schema["version"])?,
        text(&schema["cksum"])?,
    );
    for (name, table) in members(&schema["tables"])? {
        write_table(&mut out, name, table)?;
    }
    out.push_str("];\n");
    fs::write(Path::new(&env::var("OUT_DIR")?).join("vswitch.rs"), out)?;
    Ok(())
}

fn write_table(out: &mut String, name: &str, table: &Value) -> Result<(), Box<dyn Error>> {
    let is_root = table["isRoot"].as_bool().unwrap_or(false);
    let max_rows = table["maxRows"].as_u64().map_or("u32::MAX".to_owned(), |rows| rows.to_string());
    // A list of names is written alike in JSON and in Rust, but for the ampersand.
    let indexes: Vec<String> =
        table["indexes"].as_array().into_iter().flatten().map(|index| format!("&{index}")).collect();
    writeln!(out, "    Table {{\n        name: {name:?},\n        is_root: {is_root},\n        max_rows: {max_rows},")?;
    writeln!(out, "        indexes: &[{}],\n        columns: &[", indexes.join(", "))?;
    for (name, column) in members(&table["columns"])? {
        let ty = &column["type"];
        let key = ty.get("key").unwrap_or(ty);
        let value =
            ty.get("value").map_or(Ok("None".to_owned()), |value| base(value).map(|base| format!("Some({base})")))?;
        let n_max = match &ty["max"] {
            Value::String(unlimited) if unlimited == "unlimited" => "UNLIMITED".to_owned(),
            max => max.as_u64().unwrap_or(1).to_string(),
        };
        writeln!(
            out,
            "            Column {{ name: {name:?}, key: {}, value: {value}, n_min: {}, n_max: {n_max}, mutable: {}, persistent: {} }},",
            base(key)?,
            ty["min"].as_u64().unwrap_or(1),
            column["mutable"].as_bool().unwrap_or(true),
            !column["ephemeral"].as_bool().unwrap_or(false),
        )?;
    }
    out.push_str("        ],\n    },\n");
    Ok(())
}

/// `<base-type>` as a `Base`. A kind of constraint that the schema has not had so far fails the build.
fn base(json: &Value) -> Result<String, Box<dyn Error>> {
    let kind = text(json.get("type").unwrap_or(json))?;
    let mut kind_name = kind.to_owned();
    kind_name[..1].make_ascii_uppercase();
    let limit = match json {
        Value::Object(members) => limit(members, kind)?,
        _ => "Limit::Any".to_owned(),
    };
    Ok(format!("Base {{ kind: AtomicType::{kind_name}, limit: {limit} }}"))
}

fn limit(members: &Map<String, Value>, kind: &str) -> Result<String, Box<dyn Error>> {
    let mut limit = "Limit::Any".to_owned();
    for (name, value) in members {
        match name.as_str() {
            "type" => {}
            "enum" if kind == "string" => limit = format!("Limit::Enum(&{})", value[1]),
            "refTable" => {
                let weak = members.get("refType").is_some_and(|strength| strength == "weak");
                limit = format!("Limit::Row {{ table: {value}, weak: {weak} }}");
            }
            "refType" => {}
            "minInteger" | "maxInteger" => {
                let bound = |name, none: &str| members.get(name).map_or(none.to_owned(), Value::to_string);
                let (low, high) = (bound("minInteger", "i64::MIN"), bound("maxInteger", "i64::MAX"));
                limit = format!("Limit::Integer({low}, {high})");
            }
            other => {
                return Err(format!("{SCHEMA}: {other} in a base type of {kind}: build.rs does not know it yet").into());
            }
        }
    }
    Ok(limit)
}

fn text(json: &Value) -> Result<&str, Box<dyn Error>> {
    json.as_str().ok_or_else(|| format!("{SCHEMA}: {json} should be a string").into())
}

fn members(json: &Value) -> Result<&Map<String, Value>, Box<dyn Error>> {
    json.as_object().ok_or_else(|| format!("{SCHEMA}: {json} should be an object").into())
}
