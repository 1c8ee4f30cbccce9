//! Our codec and apache-avro understand each other.

use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value;
use apache_avro::writer::datum::GenericDatumWriter;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use super::every_record::{RecordType, record_types};
use super::values::{debug_text, value_of};

/// Values tried for each record type.
const CASES: u32 = 64;

/// Entries of the largest maps.
const MAP_SIZE_MAX: usize = 4;

#[test]
fn what_avro_writes_we_read_and_write_back() {
    for_values_of_each_record(MAP_SIZE_MAX, |record_type, schema, value| {
        for block_size in [None, Some(1)] {
            let theirs = avro_encoded(schema, value, block_size);
            let (ours, _) = (record_type.recode)(&theirs)?;
            prop_assert_eq!(&avro_decoded(schema, &ours), value);
            if block_size.is_none() {
                prop_assert_eq!(ours, theirs);
            }
        }
        Ok(())
    });
}

#[test]
fn each_field_is_where_its_name_says() {
    for_values_of_each_record(1, |record_type, schema, value| {
        let (_, shown) = (record_type.recode)(&avro_encoded(schema, value, None))?;
        prop_assert_eq!(shown, debug_text(schema, value));
        Ok(())
    });
}

#[test]
fn lists_of_several_blocks_are_written_as_one() {
    for_values_of_each_record(1, |record_type, schema, value| {
        let in_one_block = avro_encoded(schema, value, None);
        let (ours, _) = (record_type.recode)(&avro_encoded(schema, value, Some(1)))?;
        prop_assert_eq!(ours, in_one_block);
        Ok(())
    });
}

fn for_values_of_each_record(
    map_size_max: usize,
    check: impl Fn(&RecordType, &Schema, &Value) -> Result<(), TestCaseError>,
) {
    for record_type in record_types() {
        let schema = Schema::parse_str(record_type.definition.schema).unwrap();
        let mut runner = TestRunner::new(ProptestConfig::with_cases(CASES));
        let result = runner.run(&value_of(&schema, map_size_max), |value| check(&record_type, &schema, &value));
        result.unwrap_or_else(|error| panic!("{}: {error}", record_type.definition.name));
    }
}

fn avro_encoded(schema: &Schema, value: &Value, block_size: Option<usize>) -> Vec<u8> {
    let writer = GenericDatumWriter::builder(schema).maybe_target_block_size(block_size).build().unwrap();
    writer.write_value_to_vec(value.clone()).unwrap()
}

fn avro_decoded(schema: &Schema, mut datum: &[u8]) -> Value {
    let value = GenericDatumReader::builder(schema).build().unwrap().read_value(&mut datum).unwrap();
    assert!(datum.is_empty(), "bytes are left: {datum:?}");
    value
}
