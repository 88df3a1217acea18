//! Rows of Parquet. Reads one row group after the other, and of each only the columns
//! that the mapping reads.

use std::{fs::File, sync::Arc};

use parquet::{
    file::reader::{FileReader, SerializedFileReader},
    record::{Field, Row as Record, reader::RowIter},
    schema::types::Type,
};
use serde_json::{Map, Value as Json};

use super::{Progress, Reading, Rows, missing};
use crate::import::row::{Cell, Row};

pub fn rows(file: File, names: Arc<[String]>, progress: Progress) -> anyhow::Result<Rows> {
    let bytes = file.metadata()?.len();
    let reader = SerializedFileReader::new(file)?;
    let schema = reader.metadata().file_metadata().schema().clone();
    let root = schema.get_fields();
    missing(&names, |name| root.iter().any(|f| f.name() == name))?;
    let wanted = root.iter().filter(|f| names.iter().any(|n| n == f.name()));
    let projection = Type::group_type_builder(schema.name())
        .with_fields(wanted.cloned().collect())
        .build()?;
    let total = u64::try_from(reader.metadata().file_metadata().num_rows())?.max(1);
    let mut rows = RowIter::from_file_into(Box::new(reader)).project(Some(projection))?;
    let mut line = 0;
    Ok(Box::new(std::iter::from_fn(move || {
        let Some(record) = rows.next() else {
            progress.set(bytes);
            return None;
        };
        line += 1;
        progress.set(bytes * line.min(total) / total);
        Some(match record {
            Ok(record) => Ok(Reading::Row(row(line, record, &names))),
            Err(error) => Err(error.into()),
        })
    })))
}

fn row(line: u64, record: Record, names: &Arc<[String]>) -> Row {
    let fields = record.into_columns();
    let cell = |name: &String| {
        let found = fields.iter().find(|(n, _)| n == name);
        match found.map(|(_, field)| json(field)) {
            None | Some(Json::Null) => Cell::Empty,
            Some(json) => Cell::Json(json),
        }
    };
    let cells: Vec<_> = names.iter().map(cell).collect();
    let raw: Map<String, Json> = fields.iter().map(|(n, f)| (n.clone(), json(f))).collect();
    Row {
        line,
        cells,
        names: names.clone(),
        raw: Json::Object(raw).to_string(),
    }
}

fn json(field: &Field) -> Json {
    let instant = |ms: i64| {
        jiff::Timestamp::from_millisecond(ms).map_or(Json::Null, |t| Json::String(t.to_string()))
    };
    match field {
        Field::Null => Json::Null,
        Field::Bool(v) => Json::Bool(*v),
        Field::Byte(v) => Json::from(*v),
        Field::Short(v) => Json::from(*v),
        Field::Int(v) => Json::from(*v),
        Field::Long(v) => Json::from(*v),
        Field::UByte(v) => Json::from(*v),
        Field::UShort(v) => Json::from(*v),
        Field::UInt(v) => Json::from(*v),
        Field::ULong(v) => Json::from(*v),
        Field::Float(v) => Json::from(*v),
        Field::Double(v) => Json::from(*v),
        Field::Str(v) => Json::String(v.clone()),
        Field::Bytes(v) => match v.as_utf8() {
            Ok(text) => Json::String(text.to_owned()),
            Err(_) => Json::Null,
        },
        // Days since the epoch.
        Field::Date(days) => jiff::civil::date(1970, 1, 1)
            .checked_add(jiff::Span::new().days(*days))
            .map_or(Json::Null, |d| Json::String(d.to_string())),
        Field::TimestampMillis(ms) => instant(*ms),
        Field::TimestampMicros(us) => instant(us.div_euclid(1_000)),
        Field::ListInternal(list) => Json::Array(list.elements().iter().map(json).collect()),
        Field::Group(group) => Json::Object(
            group
                .get_column_iter()
                .map(|(n, f)| (n.clone(), json(f)))
                .collect(),
        ),
        // Numbers in clothes, and types that JSON has no word for.
        other => Json::String(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use parquet::{
        data_type::{ByteArray, ByteArrayType, DoubleType, Int64Type},
        file::{properties::WriterProperties, writer::SerializedFileWriter},
        schema::parser::parse_message_type,
    };

    #[test]
    fn parquet_is_read_with_its_types() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.parquet");
        let schema = parse_message_type(
            "message m { required binary id (UTF8); optional double price; required int64 at (TIMESTAMP_MILLIS); }",
        )
        .unwrap();
        let properties = Arc::new(WriterProperties::builder().build());
        let file = File::create(&path).unwrap();
        let mut writer = SerializedFileWriter::new(file, Arc::new(schema), properties).unwrap();
        let mut group = writer.next_row_group().unwrap();
        let ids = [ByteArray::from("a"), ByteArray::from("b")];
        let mut column = group.next_column().unwrap().unwrap();
        column
            .typed::<ByteArrayType>()
            .write_batch(&ids, None, None)
            .unwrap();
        column.close().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        column
            .typed::<DoubleType>()
            .write_batch(&[1.5], Some(&[1, 0]), None)
            .unwrap();
        column.close().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        column
            .typed::<Int64Type>()
            .write_batch(&[0, 1], None, None)
            .unwrap();
        column.close().unwrap();
        group.close().unwrap();
        writer.close().unwrap();

        let names: Arc<[String]> = ["at", "price", "id"].map(String::from).into();
        let file = File::open(&path).unwrap();
        let progress = Progress::default();
        let rows = rows(file, names, progress).unwrap();
        let cells: Vec<_> = rows
            .map(|read| match read.unwrap() {
                Reading::Row(row) => (row.line, row.cells),
                Reading::Broken { why, .. } => panic!("{why}"),
            })
            .collect();
        let text = |t: &str| Cell::Json(Json::String(t.into()));
        let expected = [
            (
                1,
                vec![
                    text("1970-01-01T00:00:00Z"),
                    Cell::Json(1.5.into()),
                    text("a"),
                ],
            ),
            (
                2,
                vec![text("1970-01-01T00:00:00.001Z"), Cell::Empty, text("b")],
            ),
        ];
        assert_eq!(cells, expected);
    }
}
