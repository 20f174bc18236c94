//! Output options: the format of tables and of their cells.

use super::{Accepted, section};
use crate::options::{Flag, Given, UsageError};

/// The output options, without `--columns`, which belongs to commands.
pub const TABLE: &[Flag] = &[
    Flag::value("format").short('f').help(
        "  -f, --format=FORMAT         set output formatting to FORMAT\n                              (\"table\", \"html\", \"csv\", or \"json\")\n",
    ),
    Flag::value("data").short('d').help(
        "  -d, --data=FORMAT           set table cell output formatting to\n                              FORMAT (\"string\", \"bare\", or \"json\")\n",
    ),
    Flag::switch("no-headings").help("  --no-headings               omit table heading row\n"),
    Flag::switch("pretty").help("  --pretty                    pretty-print JSON in output\n"),
    Flag::switch("bare").help(
        "  --bare                      equivalent to \"--format=list --data=bare --no-headings\"\n",
    ),
    Flag::value("max-column-width"),
];

/// The format of a whole table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableFormat {
    /// Columns aligned by spaces.
    Table,
    /// One `column : value` line a cell, rows apart by a blank line.
    List,
    /// An HTML table.
    Html,
    /// Comma-separated values, RFC 4180.
    Csv,
    /// One JSON object.
    Json,
}

/// The format of one cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CellStyle {
    /// As the database commands take it.
    String,
    /// Without punctuation.
    Bare,
    /// RFC 7047's JSON.
    Json,
}

/// How tables are to be printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableStyle {
    /// The format of the whole.
    pub format: TableFormat,
    /// The format of the cells, if it was asked for.
    pub cells: Option<CellStyle>,
    /// Whether the heading row is printed.
    pub headings: bool,
    /// Whether JSON is indented.
    pub pretty: bool,
    /// The greatest width of a column of a `table`, in characters; zero for no limit.
    pub max_column_width: usize,
}

impl TableStyle {
    /// The style of a program whose default format is `format`.
    #[must_use]
    pub const fn new(format: TableFormat) -> TableStyle {
        TableStyle { format, cells: None, headings: true, pretty: false, max_column_width: 0 }
    }

    /// The format of cells: the one asked for, else `string`.
    #[must_use]
    pub fn cell_style(&self) -> CellStyle {
        self.cells.unwrap_or(CellStyle::String)
    }

    /// Takes the option if it is one of this group.
    ///
    /// # Errors
    /// A format that does not exist.
    pub fn accept(&mut self, option: &Given) -> Accepted {
        let text = option.text();
        match option.flag.long {
            "format" => self.format = parse_format(text)?,
            "data" => self.cells = Some(parse_cells(text)?),
            "no-headings" => self.headings = false,
            "pretty" => self.pretty = true,
            "bare" => {
                self.format = TableFormat::List;
                self.cells = Some(CellStyle::Bare);
                self.headings = false;
            }
            "max-column-width" => self.max_column_width = leading_number(text),
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// The group's section of `--help`, after a blank line.
    #[must_use]
    pub fn usage(program: &str) -> String {
        section(program, "\nOutput formatting options:", TABLE)
    }
}

fn parse_format(text: &str) -> Result<TableFormat, UsageError> {
    Ok(match text {
        "table" => TableFormat::Table,
        "list" => TableFormat::List,
        "html" => TableFormat::Html,
        "csv" => TableFormat::Csv,
        "json" => TableFormat::Json,
        _ => return Err(UsageError(format!("unknown output format \"{text}\""))),
    })
}

fn parse_cells(text: &str) -> Result<CellStyle, UsageError> {
    Ok(match text {
        "string" => CellStyle::String,
        "bare" => CellStyle::Bare,
        "json" => CellStyle::Json,
        _ => return Err(UsageError(format!("unknown data format \"{text}\""))),
    })
}

/// The number at the start of `text`, zero if there is none, as `atoi(3)` reads it.
fn leading_number(text: &str) -> usize {
    let digits: String = text.trim_start().chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap_or(0)
}
