//! The part of Avro that our schemas use, parsed into types of our own. Anything else is refused.

use serde_json::{Map, Value};

use crate::canonical;

type Object = Map<String, Value>;

/// One `.avsc` file: the schema of the values of one topic.
pub struct SchemaFile {
    /// Name of the topic, which is the name of the file.
    pub topic: String,
    /// CRC-64-AVRO of the parsing canonical form.
    pub fingerprint: u64,
    /// Record types, those that others refer to first; the last one is the type of the file.
    pub records: Vec<Record>,
    fixed_types: Vec<FixedType>,
}

/// A record type.
#[derive(Clone, PartialEq)]
pub struct Record {
    pub namespace: String,
    pub name: String,
    pub doc: String,
    pub fields: Vec<Field>,
}

/// A field of a record type.
#[derive(Clone, PartialEq)]
pub struct Field {
    pub name: String,
    pub doc: String,
    pub unit: String,
    pub kind: Type,
    pub default: Option<Value>,
}

/// Type of a value. None of them has an encoding of zero bytes: a decoder's loops rely on it.
#[derive(Clone, PartialEq)]
pub enum Type {
    Boolean,
    Int,
    Long,
    Double,
    String,
    Bytes,
    Fixed(usize),
    Nullable(Box<Type>),
    List(Box<Type>),
    TextMap,
    /// By its name; `borrows` tells whether it holds text or bytes of the datum.
    Record {
        name: String,
        borrows: bool,
    },
}

struct FixedType {
    name: String,
    size: usize,
}

impl SchemaFile {
    /// Parses the text of a file.
    pub fn parse(topic: &str, text: &str) -> Result<Self, String> {
        let schema: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let canonical_form = canonical::parsing_canonical_form(&schema)?;
        let mut file = Self {
            topic: topic.to_owned(),
            fingerprint: canonical::crc64_avro(canonical_form.as_bytes()),
            records: Vec::new(),
            fixed_types: Vec::new(),
        };
        let namespace = text_of(object(&schema)?, "namespace")?;
        match file.kind(&schema, &namespace)? {
            Type::Record { .. } => Ok(file),
            _ => Err("the type of a file must be a record".to_owned()),
        }
    }

    fn kind(&mut self, schema: &Value, namespace: &str) -> Result<Type, String> {
        match schema {
            Value::String(name) => self.named(name),
            Value::Array(branches) => match branches.as_slice() {
                [Value::String(null), branch] if null == "null" => {
                    Ok(Type::Nullable(Box::new(self.kind(branch, namespace)?)))
                }
                _ => Err(format!("{schema}: a union must be [\"null\", T]")),
            },
            Value::Object(object) => self.complex(object, namespace),
            _ => Err(format!("{schema}: not a type")),
        }
    }

    fn named(&self, name: &str) -> Result<Type, String> {
        let primitive = match name {
            "boolean" => Type::Boolean,
            "int" => Type::Int,
            "long" => Type::Long,
            "double" => Type::Double,
            "string" => Type::String,
            "bytes" => Type::Bytes,
            _ => return self.defined(name),
        };
        Ok(primitive)
    }

    fn defined(&self, name: &str) -> Result<Type, String> {
        if let Some(fixed) = self.fixed_types.iter().find(|fixed| fixed.name == name) {
            return Ok(Type::Fixed(fixed.size));
        }
        let record = self.records.iter().find(|record| record.name == name);
        record.map(Record::as_type).ok_or_else(|| format!("{name}: no such type above its use"))
    }

    fn complex(&mut self, object: &Object, namespace: &str) -> Result<Type, String> {
        match text_of(object, "type")?.as_str() {
            "array" => Ok(Type::List(Box::new(self.kind(value_of(object, "items")?, namespace)?))),
            "map" if value_of(object, "values")? == "string" => Ok(Type::TextMap),
            "map" => Err("the values of a map must be strings".to_owned()),
            "fixed" => self.fixed(object),
            "record" => self.record(object, namespace),
            name => self.named(name),
        }
    }

    fn fixed(&mut self, object: &Object) -> Result<Type, String> {
        let name = text_of(object, "name")?;
        let size = value_of(object, "size")?.as_u64().and_then(|size| usize::try_from(size).ok());
        let size = size.filter(|size| *size > 0).ok_or_else(|| format!("{name}: the size must be positive"))?;
        self.fixed_types.push(FixedType { name, size });
        Ok(Type::Fixed(size))
    }

    fn record(&mut self, object: &Object, namespace: &str) -> Result<Type, String> {
        let name = text_of(object, "name")?;
        let fields = value_of(object, "fields")?.as_array().filter(|fields| !fields.is_empty());
        let fields = fields.ok_or_else(|| format!("{name}: a record needs fields"))?;
        let fields: Result<Vec<Field>, String> = fields.iter().map(|field| self.field(field, namespace)).collect();
        let record = Record {
            namespace: namespace.to_owned(),
            doc: text_of(object, "doc")?,
            fields: fields.map_err(|error| format!("{name}: {error}"))?,
            name,
        };
        let kind = record.as_type();
        self.records.push(record);
        Ok(kind)
    }

    fn field(&mut self, field: &Value, namespace: &str) -> Result<Field, String> {
        let field = object(field)?;
        let name = text_of(field, "name")?;
        self.field_of_name(&name, field, namespace).map_err(|error| format!("{name}: {error}"))
    }

    fn field_of_name(&mut self, name: &str, field: &Object, namespace: &str) -> Result<Field, String> {
        Ok(Field {
            name: name.to_owned(),
            doc: text_of(field, "doc")?,
            unit: text_of(field, "unit")?,
            kind: self.kind(value_of(field, "type")?, namespace)?,
            default: field.get("default").cloned(),
        })
    }
}

impl Record {
    /// Whether a value of the type borrows from the datum, so that its struct has a lifetime.
    pub fn borrows(&self) -> bool {
        self.fields.iter().any(|field| field.kind.borrows())
    }

    /// Whether every field is a long or null.
    pub fn is_all_nullable_longs(&self) -> bool {
        let nullable_long = Type::Nullable(Box::new(Type::Long));
        self.fields.iter().all(|field| field.kind == nullable_long)
    }

    fn as_type(&self) -> Type {
        Type::Record { name: self.name.clone(), borrows: self.borrows() }
    }
}

impl Type {
    fn borrows(&self) -> bool {
        match self {
            Self::Boolean | Self::Int | Self::Long | Self::Double | Self::Fixed(_) => false,
            Self::String | Self::Bytes | Self::List(_) | Self::TextMap => true,
            Self::Nullable(inner) => inner.borrows(),
            Self::Record { borrows, .. } => *borrows,
        }
    }
}

fn object(value: &Value) -> Result<&Object, String> {
    value.as_object().ok_or_else(|| format!("{value}: not an object"))
}

fn value_of<'v>(object: &'v Object, key: &str) -> Result<&'v Value, String> {
    object.get(key).ok_or_else(|| format!("no {key:?}"))
}

fn text_of(object: &Object, key: &str) -> Result<String, String> {
    let text = value_of(object, key)?.as_str().filter(|text| !text.is_empty());
    text.map(str::to_owned).ok_or_else(|| format!("{key:?} must be a text that is not empty"))
}
