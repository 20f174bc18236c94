//! Tables as the database tools print them: `table`, `list`, `html`, `csv` and `json`.
//!
//! Source: ovs-vsctl(8), "Table Formatting Options". Widths count bytes.

use crate::groups::{CellStyle, TableFormat, TableStyle};
use crate::json;
use ovsdb::{Datum, Type, Uuid};
use serde_json::{Value, json};

/// One cell.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// A text, the same in every style.
    Text(String),
    /// A value of a column.
    Datum(Datum, Type),
    /// A JSON value.
    Json(Value),
    /// Nothing: not even an empty value.
    Blank,
}

impl Cell {
    fn text(&self, style: CellStyle) -> String {
        match (self, style) {
            (Cell::Blank, _) => String::new(),
            (Cell::Text(text), _) => text.clone(),
            (Cell::Json(value), _) => json::text(value, false),
            (Cell::Datum(datum, ty), CellStyle::String) => datum.to_cli_string(ty),
            (Cell::Datum(datum, _), CellStyle::Bare) => datum.to_bare_string(),
            (Cell::Datum(datum, ty), CellStyle::Json) => json::text(&datum.to_json(ty.is_map()), false),
        }
    }

    fn json(&self) -> Value {
        match self {
            Cell::Text(text) => Value::from(text.as_str()),
            Cell::Datum(datum, ty) => datum.to_json(ty.is_map()),
            Cell::Json(value) => value.clone(),
            Cell::Blank => Value::Null,
        }
    }
}

/// A table.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    /// What it is about.
    pub caption: Option<String>,
    /// When it was made, as text and in milliseconds since 1970, if that is to be printed.
    pub time: Option<(String, u64)>,
    /// The headings of the columns.
    pub headings: Vec<String>,
    /// The rows, each with a cell a column.
    pub rows: Vec<Vec<Cell>>,
}

impl Table {
    /// An empty table with these headings.
    #[must_use]
    pub fn new(headings: impl IntoIterator<Item = impl Into<String>>) -> Table {
        Table { headings: headings.into_iter().map(Into::into).collect(), ..Table::default() }
    }

    /// Appends the table to `out`; `first` says that none was printed before it, else a blank line
    /// parts it from the one before, where the format wants that.
    pub fn write(&self, style: &TableStyle, first: bool, out: &mut String) {
        if !first && !matches!(style.format, TableFormat::Json | TableFormat::Html) {
            out.push('\n');
        }
        match style.format {
            TableFormat::Table => self.write_table(style, out),
            TableFormat::List => self.write_list(style, out),
            TableFormat::Html => self.write_html(style, out),
            TableFormat::Csv => self.write_csv(style, out),
            TableFormat::Json => self.write_json(style, out),
        }
    }

    fn texts(&self, style: &TableStyle) -> Vec<Vec<String>> {
        let cell_style = style.cell_style();
        self.rows.iter().map(|row| row.iter().map(|cell| cell.text(cell_style)).collect()).collect()
    }

    fn write_head(&self, out: &mut String) {
        if let Some((time, _)) = &self.time {
            out.push_str(&format!("{time}\n"));
        }
        if let Some(caption) = &self.caption {
            out.push_str(&format!("{caption}\n"));
        }
    }

    fn write_table(&self, style: &TableStyle, out: &mut String) {
        self.write_head(out);
        let rows = self.texts(style);
        let widths: Vec<usize> = (0..self.headings.len())
            .map(|x| {
                let heading = if style.headings { self.headings[x].len() } else { 0 };
                let cells = rows.iter().filter_map(|row| row.get(x)).map(String::len).max().unwrap_or(0);
                let limit = if style.max_column_width == 0 { usize::MAX } else { style.max_column_width };
                cells.min(limit).max(heading)
            })
            .collect();
        if style.headings {
            write_aligned(self.headings.iter().map(String::as_str), &widths, out);
            let dashes: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
            write_aligned(dashes.iter().map(String::as_str), &widths, out);
        }
        for row in &rows {
            write_aligned(row.iter().map(String::as_str), &widths, out);
        }
    }

    fn write_list(&self, style: &TableStyle, out: &mut String) {
        self.write_head(out);
        for (y, row) in self.texts(style).iter().enumerate() {
            if y > 0 {
                out.push('\n');
            }
            for (heading, text) in self.headings.iter().zip(row) {
                if style.headings {
                    out.push_str(&format!("{heading:<20}: "));
                }
                out.push_str(text);
                out.push('\n');
            }
        }
    }

    fn write_html(&self, style: &TableStyle, out: &mut String) {
        if let Some((time, _)) = &self.time {
            out.push_str(&format!("{time}\n"));
        }
        out.push_str("<table border=1>\n");
        if let Some(caption) = &self.caption {
            out.push_str("    <caption>");
            escape_html(caption, out);
            out.push_str("</caption>\n");
        }
        if style.headings {
            out.push_str("  <tr>\n");
            for heading in &self.headings {
                out.push_str("    <th>");
                escape_html(heading, out);
                out.push_str("</th>\n");
            }
            out.push_str("  </tr>\n");
        }
        for row in self.texts(style) {
            out.push_str("  <tr>\n");
            for (heading, text) in self.headings.iter().zip(&row) {
                out.push_str("    <td>");
                write_html_cell(heading, text, out);
                out.push_str("</td>\n");
            }
            out.push_str("  </tr>\n");
        }
        out.push_str("</table>\n");
    }

    fn write_csv(&self, style: &TableStyle, out: &mut String) {
        self.write_head(out);
        if style.headings {
            write_csv_row(&self.headings, out);
        }
        for row in self.texts(style) {
            write_csv_row(&row, out);
        }
    }

    fn write_json(&self, style: &TableStyle, out: &mut String) {
        let data: Vec<Value> = self.rows.iter().map(|row| Value::Array(row.iter().map(Cell::json).collect())).collect();
        let mut table = json!({"headings": self.headings, "data": data});
        if let Some(caption) = &self.caption {
            table["caption"] = json!(caption);
        }
        if let Some((_, ms)) = &self.time {
            table["time"] = json!(ms);
        }
        out.push_str(&json::text(&table, style.pretty));
        out.push('\n');
    }
}

/// Writes one line of cells, each padded to its column's width and none longer. Widths are of octets: a character may
/// be cut in two, as in Open vSwitch.
fn write_aligned<'a>(cells: impl Iterator<Item = &'a str>, widths: &[usize], out: &mut String) {
    let start = out.len();
    for (x, (cell, width)) in cells.zip(widths).enumerate() {
        if x > 0 {
            out.push(' ');
        }
        let cell = octets::of_text(cell);
        let end = cell.len().min(*width);
        out.push_str(&octets::to_text(&cell[..end]));
        out.extend(std::iter::repeat_n(' ', width - end));
    }
    // No line ends in spaces, its last cell's own among them.
    let len = out[start..].trim_end_matches(' ').len();
    out.truncate(start + len);
    out.push('\n');
}

fn escape_html(text: &str, out: &mut String) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            other => out.push(other),
        }
    }
}

/// Writes a cell with its UUIDs as links: to the row they name, or as that row's mark in `_uuid`.
fn write_html_cell(heading: &str, text: &str, out: &mut String) {
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        match rest.get(..36).filter(|start| Uuid::parse(start).is_some()) {
            Some(uuid) if heading == "_uuid" => {
                out.push_str(&format!("<a name=\"{uuid}\">{}</a>", &uuid[..8]));
                rest = &rest[36..];
            }
            Some(uuid) => {
                out.push_str(&format!("<a href=\"#{uuid}\">{}</a>", &uuid[..8]));
                rest = &rest[36..];
            }
            None => {
                escape_html(&rest[..c.len_utf8()], out);
                rest = &rest[c.len_utf8()..];
            }
        }
    }
}

fn write_csv_row(cells: &[String], out: &mut String) {
    for (x, cell) in cells.iter().enumerate() {
        if x > 0 {
            out.push(',');
        }
        if cell.contains(['"', ',', '\n', '\r']) {
            out.push_str(&format!("\"{}\"", cell.replace('"', "\"\"")));
        } else {
            out.push_str(cell);
        }
    }
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(format: TableFormat, edit: impl Fn(&mut TableStyle)) -> String {
        let mut table = Table::new(["name", "x"]);
        table.rows.push(vec![Cell::Text("a,b".into()), Cell::Text("\"q\"".into())]);
        table.rows.push(vec![
            Cell::Text("longer".into()),
            Cell::Datum(Datum::empty(), Type::set_of(ovsdb::AtomicType::String)),
        ]);
        let mut style = TableStyle::new(format);
        edit(&mut style);
        let mut out = String::new();
        table.write(&style, true, &mut out);
        out
    }

    #[test]
    fn formats() {
        assert_eq!(show(TableFormat::Table, |_| ()), "name   x\n------ ---\na,b    \"q\"\nlonger []\n");
        assert_eq!(show(TableFormat::Table, |s| s.max_column_width = 5), "name  x\n----- ---\na,b   \"q\"\nlonge []\n");
        assert_eq!(show(TableFormat::Table, |s| s.headings = false), "a,b    \"q\"\nlonger []\n");
        assert_eq!(
            show(TableFormat::List, |s| s.cells = Some(CellStyle::Bare)),
            "name                : a,b\nx                   : \"q\"\n\nname                : longer\nx                   : \n"
        );
        assert_eq!(show(TableFormat::Csv, |_| ()), "name,x\n\"a,b\",\"\"\"q\"\"\"\nlonger,[]\n");
        assert_eq!(
            show(TableFormat::Json, |_| ()),
            "{\"data\":[[\"a,b\",\"\\\"q\\\"\"],[\"longer\",[\"set\",[]]]],\"headings\":[\"name\",\"x\"]}\n"
        );
    }

    #[test]
    fn links_in_html() {
        let uuid = "550e8400-e29b-41d4-a716-446655440000";
        let mut out = String::new();
        write_html_cell("_uuid", uuid, &mut out);
        write_html_cell("ports", &format!("[{uuid}<]"), &mut out);
        assert_eq!(out, format!("<a name=\"{uuid}\">550e8400</a>[<a href=\"#{uuid}\">550e8400</a>&lt;]"));
    }
}
