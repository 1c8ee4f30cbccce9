//! Writes records that are numbers or null throughout: a bit and a number for each field, half the size of as many
//! `Option<i64>`.

use crate::model::{Field, Record};

/// Most fields that have a bit each, and one is left: so the mask of all of them is `(1 << count) - 1`.
const FIELDS_MAX: usize = 63;

/// The struct, its codec, and access to its fields by name and by index.
pub fn emit(record: &Record, out: &mut String) -> Result<(), String> {
    let (name, count) = (&record.name, record.fields.len());
    if count > FIELDS_MAX {
        return Err(format!("{name}: it has {count} fields that are longs or null, at most {FIELDS_MAX} have a bit"));
    }
    emit_struct(record, out);
    emit_codec(record, out);
    emit_indexed_access(record, out);
    emit_named_access(record, out);
    Ok(())
}

fn emit_struct(record: &Record, out: &mut String) {
    let (doc, name, count) = (&record.doc, &record.name, record.fields.len());
    out.push_str(&format!(
        "/// {doc}
///
/// The fields are numbers or null, and have an index each. Who writes to the two fields of this struct keeps the number of
/// what is null at 0: then values that are the same are equal.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct {name} {{
    /// A bit for each field that is not null: bit 0 is the field with index 0.
    pub present: u64,
    /// The number of each field, by its index; 0 where it is null.
    pub values: [i64; {count}],
}}

impl Default for {name} {{
    #[inline]
    fn default() -> Self {{
        Self {{ present: 0, values: [0; {count}] }}
    }}
}}

/// Shows what is not null.
impl std::fmt::Debug for {name} {{
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {{
        let mut shown = formatter.debug_struct({name:?});
        for (index, name) in Self::FIELDS.into_iter().enumerate() {{
            if let Some(value) = self.get(index) {{
                shown.field(name, &value);
            }}
        }}
        shown.finish()
    }}
}}\n\n"
    ));
}

/// Reading and writing are straight lines, so that the processor learns for each field whether it is there.
fn emit_codec(record: &Record, out: &mut String) {
    let (name, count) = (&record.name, record.fields.len());
    let indexes = || 0..record.fields.len();
    let reads = indexes().map(|index| {
        format!("        if local.branch() {{ present |= 1 << {index}; record.values[{index}] = local.long(); }}\n")
    });
    let reads: String = reads.collect();
    let writes: String = indexes().map(|index| format!("        self.get({index}).write(output);\n")).collect();
    out.push_str(&format!(
        "impl<'a> Datum<'a> for {name} {{
    const SIZE_BOUND: usize = {count} * <Option<i64>>::SIZE_BOUND;

    #[inline]
    fn read(cursor: &mut Cursor<'a>) -> Self {{
        let mut local = *cursor;
        let mut record = Self::default();
        let mut present = 0;
{reads}        record.present = present;
        *cursor = local;
        record
    }}

    #[inline]
    fn write(&self, output: &mut Output<'_>) {{\n{writes}    }}
}}\n\n"
    ));
}

fn emit_indexed_access(record: &Record, out: &mut String) {
    let (name, count) = (&record.name, record.fields.len());
    let listed: String = record.fields.iter().map(|field| format!("        {:?},\n", field.name)).collect();
    out.push_str(&format!(
        "impl {name} {{
    /// Names of the fields, in the order of their indexes.
    pub const FIELDS: [&'static str; {count}] = [\n{listed}    ];

    /// From all fields, in the order of [`Self::FIELDS`].
    #[inline]
    #[must_use]
    pub fn of_values(values: [Option<i64>; {count}]) -> Self {{
        let mut record = Self::default();
        for (index, value) in values.into_iter().enumerate() {{
            record.present |= u64::from(value.is_some()) << index;
            record.values[index] = value.unwrap_or(0);
        }}
        record
    }}

    /// The field with this index; null when there is no such field.
    #[inline(always)]
    #[must_use]
    pub fn get(&self, index: usize) -> Option<i64> {{
        let value = *self.values.get(index)?;
        (self.present >> index & 1 == 1).then_some(value)
    }}

    /// Sets the field with this index; does nothing when there is no such field.
    #[inline]
    pub fn set(&mut self, index: usize, value: Option<i64>) {{
        if let Some(place) = self.values.get_mut(index) {{
            *place = value.unwrap_or(0);
            self.present = self.present & !(1 << index) | u64::from(value.is_some()) << index;
        }}
    }}
}}\n\n"
    ));
}

fn emit_named_access(record: &Record, out: &mut String) {
    let accessors = record.fields.iter().enumerate().map(|(index, field)| {
        let Field { name, doc, unit, .. } = field;
        format!(
            "    /// {doc}; unit: `{unit}`
    #[inline]
    #[must_use]
    pub fn {name}(&self) -> Option<i64> {{
        self.get({index})
    }}

    /// The same with another [`Self::{name}`].
    #[inline]
    #[must_use]
    pub fn with_{name}(mut self, value: impl Into<Option<i64>>) -> Self {{
        self.set({index}, value.into());
        self
    }}\n"
        )
    });
    let accessors = accessors.collect::<Vec<_>>().join("\n");
    out.push_str(&format!("impl {} {{\n{accessors}}}\n\n", record.name));
}
