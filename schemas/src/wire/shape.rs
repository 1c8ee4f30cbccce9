//! The form of a datum of any schema: enough to tell whether bytes are such a datum.
//!
//! Schemas come from outside, too. Those that could make a reader recurse or loop without end are refused.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use apache_avro::Schema;
use apache_avro::schema::{DecimalSchema, InnerDecimalSchema, Name, RecordSchema, UuidSchema};

use crate::codec::{Cursor, Datum, Fault};

/// Deepest nesting of values.
const DEPTH_MAX: usize = 64;
/// Size of Avro's `duration`.
const DURATION_SIZE: usize = 12;

/// The form of a datum.
#[derive(Clone)]
pub(super) struct Shape {
    form: Form,
    /// Levels of values within values.
    depth: usize,
}

#[derive(Clone)]
enum Form {
    Nothing,
    Boolean,
    Int,
    Long,
    /// This many bytes.
    Fixed(usize),
    Bytes,
    Text,
    /// One of this many symbols.
    Symbol(usize),
    Union(Arc<[Shape]>),
    List(Arc<Shape>),
    Map(Arc<Shape>),
    /// INVARIANT: at least one field takes a byte, so that time is bounded by the length of the datum.
    Record(Arc<[Shape]>),
}

/// A schema whose data cannot be read in bounded time and space.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ShapeError {
    /// The type holds itself.
    #[error("the type {0} holds itself")]
    Recursive(String),
    /// Values are nested too deeply.
    #[error("values are nested deeper than {DEPTH_MAX} levels")]
    TooDeep,
    /// Values of the type take no bytes, so that a few bytes could tell of any number of them.
    #[error("the values of {0} take no bytes")]
    TakesNoBytes(String),
    /// A type is used before it is defined.
    #[error("the type {0} is not defined above its use")]
    Undefined(String),
}

impl Shape {
    pub(super) fn of(schema: &Schema) -> Result<Self, ShapeError> {
        Shaper::default().shape(schema, None)
    }

    /// Reads a datum of this form off the front.
    pub(super) fn check(&self, cursor: &mut Cursor<'_>) {
        match &self.form {
            Form::Nothing => {}
            Form::Boolean => drop(bool::read(cursor)),
            Form::Int => drop(i32::read(cursor)),
            Form::Long => drop(cursor.long()),
            Form::Fixed(size) => drop(cursor.take(*size)),
            Form::Bytes => drop(cursor.bytes()),
            Form::Text => drop(<&str>::read(cursor)),
            Form::Symbol(count) => drop(choose(cursor, *count)),
            Form::Union(branches) => {
                if let Some(choice) = choose(cursor, branches.len()) {
                    branches[choice].check(cursor);
                }
            }
            Form::List(item) => check_items(cursor, |cursor| item.check(cursor)),
            Form::Map(value) => check_items(cursor, |cursor| {
                <&str>::read(cursor);
                value.check(cursor);
            }),
            Form::Record(fields) => {
                for field in fields.iter() {
                    field.check(cursor);
                    if cursor.has_failed() {
                        return;
                    }
                }
            }
        }
    }

    fn leaf(form: Form) -> Self {
        Self { form, depth: 1 }
    }

    fn around(inner_depth: usize, form: Form) -> Result<Self, ShapeError> {
        let depth = inner_depth + 1;
        if depth > DEPTH_MAX { Err(ShapeError::TooDeep) } else { Ok(Self { form, depth }) }
    }

    fn takes_bytes(&self) -> bool {
        !matches!(self.form, Form::Nothing | Form::Fixed(0))
    }
}

fn choose(cursor: &mut Cursor<'_>, count: usize) -> Option<usize> {
    let choice = usize::try_from(cursor.long()).ok().filter(|choice| *choice < count);
    if choice.is_none() {
        cursor.fail(Fault::NoSuchBranch);
    }
    choice
}

fn check_items<'a>(cursor: &mut Cursor<'a>, check: impl Fn(&mut Cursor<'a>)) {
    while let Some(block) = cursor.block() {
        for _ in 0..block.items {
            check(cursor);
            if cursor.has_failed() {
                return;
            }
        }
        cursor.end_block(block);
    }
}

/// Finds the shapes of schemas, with the named types above.
#[derive(Default)]
struct Shaper {
    /// None while the type itself is being looked at.
    named: HashMap<Name, Option<Shape>>,
}

impl Shaper {
    fn shape(&mut self, schema: &Schema, namespace: Option<&str>) -> Result<Shape, ShapeError> {
        let name = schema.name().map(|name| name.fully_qualified_name(namespace).into_owned());
        match (schema, name) {
            (Schema::Ref { .. }, Some(name)) => self.defined(&name),
            (_, Some(name)) => {
                self.named.insert(name.clone(), None);
                let shape = self.define(schema, name.namespace(), &name)?;
                self.named.insert(name, Some(shape.clone()));
                Ok(shape)
            }
            (_, None) => self.define(schema, namespace, schema),
        }
    }

    fn defined(&self, name: &Name) -> Result<Shape, ShapeError> {
        match self.named.get(name) {
            Some(Some(shape)) => Ok(shape.clone()),
            Some(None) => Err(ShapeError::Recursive(name.to_string())),
            None => Err(ShapeError::Undefined(name.to_string())),
        }
    }

    /// `label` stands for the schema in errors.
    fn define(
        &mut self,
        schema: &Schema,
        namespace: Option<&str>,
        label: &dyn fmt::Display,
    ) -> Result<Shape, ShapeError> {
        let form = match schema {
            Schema::Null => Form::Nothing,
            Schema::Boolean => Form::Boolean,
            Schema::Int | Schema::Date | Schema::TimeMillis => Form::Int,
            Schema::Long
            | Schema::TimeMicros
            | Schema::TimestampMillis
            | Schema::TimestampMicros
            | Schema::TimestampNanos
            | Schema::LocalTimestampMillis
            | Schema::LocalTimestampMicros
            | Schema::LocalTimestampNanos => Form::Long,
            Schema::Float => Form::Fixed(size_of::<f32>()),
            Schema::Double => Form::Fixed(size_of::<f64>()),
            Schema::Bytes
            | Schema::BigDecimal
            | Schema::Uuid(UuidSchema::Bytes)
            | Schema::Decimal(DecimalSchema { inner: InnerDecimalSchema::Bytes, .. }) => Form::Bytes,
            Schema::String | Schema::Uuid(UuidSchema::String) => Form::Text,
            Schema::Duration(_) => Form::Fixed(DURATION_SIZE),
            Schema::Fixed(fixed)
            | Schema::Uuid(UuidSchema::Fixed(fixed))
            | Schema::Decimal(DecimalSchema { inner: InnerDecimalSchema::Fixed(fixed), .. }) => Form::Fixed(fixed.size),
            Schema::Enum(symbols) => Form::Symbol(symbols.symbols.len()),
            Schema::Array(array) => return self.list(&array.items, namespace, label),
            Schema::Map(map) => {
                let value = self.shape(&map.types, namespace)?;
                return Shape::around(value.depth, Form::Map(Arc::new(value)));
            }
            Schema::Union(union) => return self.all(union.variants(), namespace, Form::Union),
            Schema::Record(record) => return self.record(record, namespace, label),
            Schema::Ref { name } => return self.defined(name),
        };
        Ok(Shape::leaf(form))
    }

    fn list(&mut self, items: &Schema, namespace: Option<&str>, label: &dyn fmt::Display) -> Result<Shape, ShapeError> {
        let item = self.shape(items, namespace)?;
        if item.takes_bytes() {
            Shape::around(item.depth, Form::List(Arc::new(item)))
        } else {
            Err(ShapeError::TakesNoBytes(label.to_string()))
        }
    }

    fn record(
        &mut self,
        record: &RecordSchema,
        namespace: Option<&str>,
        label: &dyn fmt::Display,
    ) -> Result<Shape, ShapeError> {
        let shape = self.all(record.fields.iter().map(|field| &field.schema), namespace, Form::Record)?;
        match &shape.form {
            Form::Record(fields) if fields.iter().any(Shape::takes_bytes) => Ok(shape),
            _ => Err(ShapeError::TakesNoBytes(label.to_string())),
        }
    }

    fn all<'s>(
        &mut self,
        schemas: impl IntoIterator<Item = &'s Schema>,
        namespace: Option<&str>,
        form: impl FnOnce(Arc<[Shape]>) -> Form,
    ) -> Result<Shape, ShapeError> {
        let shapes = schemas.into_iter().map(|schema| self.shape(schema, namespace));
        let shapes: Arc<[Shape]> = shapes.collect::<Result<_, ShapeError>>()?;
        let depth = shapes.iter().map(|shape| shape.depth).max().unwrap_or(0);
        Shape::around(depth, form(shapes))
    }
}
