//! Values of any schema, made and shown with apache-avro's types.

use apache_avro::Schema;
use apache_avro::schema::{Name, RecordSchema};
use apache_avro::types::Value;
use proptest::collection::{hash_map, vec};
use proptest::prelude::*;
use std::collections::HashMap;

/// Makes values of a schema. Maps have at most `map_size_max` entries.
pub fn value_of(schema: &Schema, map_size_max: usize) -> BoxedStrategy<Value> {
    Values { named: HashMap::new(), map_size_max }.strategy(schema)
}

struct Values {
    named: HashMap<Name, BoxedStrategy<Value>>,
    map_size_max: usize,
}

impl Values {
    fn strategy(&mut self, schema: &Schema) -> BoxedStrategy<Value> {
        match schema {
            Schema::Boolean => any::<bool>().prop_map(Value::Boolean).boxed(),
            Schema::Int => any::<i32>().prop_map(Value::Int).boxed(),
            Schema::Long => long().prop_map(Value::Long).boxed(),
            Schema::TimestampMicros => long().prop_map(Value::TimestampMicros).boxed(),
            Schema::Double => double().prop_map(Value::Double).boxed(),
            Schema::Bytes => vec(any::<u8>(), 0..20).prop_map(Value::Bytes).boxed(),
            Schema::String => text().prop_map(Value::String).boxed(),
            Schema::Union(union) => {
                let inner = self.strategy(&union.variants()[1]);
                let present = inner.prop_map(|value| Value::Union(1, Box::new(value)));
                prop_oneof![Just(Value::Union(0, Box::new(Value::Null))), present].boxed()
            }
            Schema::Array(array) => vec(self.strategy(&array.items), 0..5).prop_map(Value::Array).boxed(),
            Schema::Map(map) => {
                hash_map(text(), self.strategy(&map.types), 0..=self.map_size_max).prop_map(Value::Map).boxed()
            }
            Schema::Fixed(fixed) => {
                let size = fixed.size;
                let strategy = vec(any::<u8>(), size).prop_map(move |bytes| Value::Fixed(size, bytes)).boxed();
                self.named.insert(fixed.name.clone(), strategy.clone());
                strategy
            }
            Schema::Record(record) => self.record(record),
            Schema::Ref { name } => self.named[name].clone(),
            other => panic!("our schemas have no {other:?}"),
        }
    }

    fn record(&mut self, record: &RecordSchema) -> BoxedStrategy<Value> {
        let names: Vec<String> = record.fields.iter().map(|field| field.name.clone()).collect();
        let fields: Vec<BoxedStrategy<Value>> =
            record.fields.iter().map(|field| self.strategy(&field.schema)).collect();
        let strategy =
            fields.prop_map(move |values| Value::Record(names.iter().cloned().zip(values).collect())).boxed();
        self.named.insert(record.name.clone(), strategy.clone());
        strategy
    }
}

/// Numbers of all sizes: uniform ones would hardly ever take less than nine bytes.
fn long() -> impl Strategy<Value = i64> {
    (any::<i64>(), 0_u32..64).prop_map(|(number, shift)| number >> shift)
}

/// No NaN, which equals nothing.
fn double() -> impl Strategy<Value = f64> {
    any::<f64>().prop_filter("NaN", |number| !number.is_nan())
}

fn text() -> impl Strategy<Value = String> {
    vec(any::<char>(), 0..12).prop_map(String::from_iter)
}

/// How Rust shows the record of a value: what `{:?}` of our struct has to be. Maps must have at most one entry, as they have
/// no order here.
pub fn debug_text(schema: &Schema, value: &Value) -> String {
    let mut named = HashMap::new();
    collect_names(schema, &mut named);
    shown(schema, value, &named)
}

fn shown(schema: &Schema, value: &Value, named: &HashMap<Name, &Schema>) -> String {
    match (schema, value) {
        (Schema::Ref { name }, _) => shown(named[name], value, named),
        (_, Value::Boolean(value)) => format!("{value:?}"),
        (_, Value::Int(value)) => format!("{value:?}"),
        (_, Value::Long(value) | Value::TimestampMicros(value)) => format!("{value:?}"),
        (_, Value::Double(value)) => format!("{value:?}"),
        (_, Value::String(value)) => format!("{value:?}"),
        (_, Value::Bytes(value) | Value::Fixed(_, value)) => format!("{value:?}"),
        (_, Value::Union(0, _)) => "None".to_owned(),
        (Schema::Union(union), Value::Union(_, value)) => {
            format!("Some({})", shown(&union.variants()[1], value, named))
        }
        (Schema::Array(array), Value::Array(items)) => {
            let items: Vec<String> = items.iter().map(|item| shown(&array.items, item, named)).collect();
            format!("[{}]", items.join(", "))
        }
        (Schema::Map(map), Value::Map(entries)) => {
            let entries = entries.iter().map(|(key, value)| format!("{key:?}: {}", shown(&map.types, value, named)));
            format!("{{{}}}", entries.collect::<Vec<_>>().join(", "))
        }
        (Schema::Record(record), Value::Record(fields)) if is_all_nullable_longs(record) => {
            let told = fields.iter().filter_map(|(name, value)| match value {
                Value::Union(1, value) => Some(format!("{name}: {}", shown(&Schema::Long, value, named))),
                _ => None,
            });
            match told.collect::<Vec<_>>().join(", ").as_str() {
                "" => record.name.name().to_owned(),
                told => format!("{} {{ {told} }}", record.name.name()),
            }
        }
        (Schema::Record(record), Value::Record(fields)) => {
            let fields = record.fields.iter().zip(fields);
            let fields = fields.map(|(field, (name, value))| format!("{name}: {}", shown(&field.schema, value, named)));
            format!("{} {{ {} }}", record.name.name(), fields.collect::<Vec<_>>().join(", "))
        }
        (schema, value) => panic!("{value:?} is not of {schema:?}"),
    }
}

/// Such a record shows only what is not null.
fn is_all_nullable_longs(record: &RecordSchema) -> bool {
    record.fields.iter().all(|field| match &field.schema {
        Schema::Union(union) => matches!(union.variants(), [Schema::Null, Schema::Long | Schema::TimestampMicros]),
        _ => false,
    })
}

fn collect_names<'s>(schema: &'s Schema, named: &mut HashMap<Name, &'s Schema>) {
    match schema {
        Schema::Array(array) => collect_names(&array.items, named),
        Schema::Map(map) => collect_names(&map.types, named),
        Schema::Union(union) => union.variants().iter().for_each(|branch| collect_names(branch, named)),
        Schema::Fixed(fixed) => drop(named.insert(fixed.name.clone(), schema)),
        Schema::Record(record) => {
            named.insert(record.name.clone(), schema);
            record.fields.iter().for_each(|field| collect_names(&field.schema, named));
        }
        _ => {}
    }
}
