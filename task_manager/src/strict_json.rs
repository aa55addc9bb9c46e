//! Parses JSON strictly as the API describes it: an object must be an object.
//!
//! `serde` also reads a struct from an array, field by field in the order of the source. No client
//! may rely on that.

use std::fmt;

use serde::de::{
    self, DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, MapAccess, SeqAccess,
    Unexpected, VariantAccess, Visitor,
};

/// Parses a JSON text; an error names the path in the document.
///
/// # Errors
/// The text is not JSON, or has another shape.
pub fn from_slice<T: DeserializeOwned>(content: &[u8]) -> Result<T, String> {
    let mut json = serde_json::Deserializer::from_slice(content);
    let read = serde_path_to_error::deserialize(Strict(&mut json)).map_err(|error| {
        let path = error.path().to_string();
        let reason = error.into_inner().to_string();
        // The path of the whole document is `.`.
        if path == "." { reason } else { format!("{path}: {reason}") }
    })?;
    json.end().map_err(|error| error.to_string())?;
    Ok(read)
}

/// Wraps each part of a deserializer recursively, so that structs at any depth are checked. Values
/// that `serde` buffers itself (`tag`, `untagged`, `flatten`) are not.
struct Strict<T>(T);

/// A visitor that accepts objects only.
struct ObjectVisitor<V>(V);

macro_rules! forward {
    ($($method:ident($($argument:ident: $type:ty),*)),* $(,)?) => {
        $(fn $method<V: Visitor<'de>>(
            self,
            $($argument: $type,)*
            visitor: V,
        ) -> Result<V::Value, D::Error> {
            self.0.$method($($argument,)* Strict(visitor))
        })*
    };
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Strict<D> {
    type Error = D::Error;

    forward! {
        deserialize_any(), deserialize_bool(), deserialize_i8(), deserialize_i16(),
        deserialize_i32(), deserialize_i64(), deserialize_i128(), deserialize_u8(),
        deserialize_u16(), deserialize_u32(), deserialize_u64(), deserialize_u128(),
        deserialize_f32(), deserialize_f64(), deserialize_char(), deserialize_str(),
        deserialize_string(), deserialize_bytes(), deserialize_byte_buf(), deserialize_option(),
        deserialize_unit(), deserialize_unit_struct(name: &'static str),
        deserialize_newtype_struct(name: &'static str), deserialize_seq(),
        deserialize_tuple(length: usize),
        deserialize_tuple_struct(name: &'static str, length: usize), deserialize_map(),
        deserialize_enum(name: &'static str, variants: &'static [&'static str]),
        deserialize_identifier(), deserialize_ignored_any(),
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_struct(name, fields, ObjectVisitor(visitor))
    }

    fn is_human_readable(&self) -> bool {
        self.0.is_human_readable()
    }
}

macro_rules! visit {
    ($($method:ident($type:ty)),* $(,)?) => {
        $(fn $method<E: de::Error>(self, value: $type) -> Result<V::Value, E> {
            self.0.$method(value)
        })*
    };
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Strict<V> {
    type Value = V::Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.expecting(formatter)
    }

    visit! {
        visit_bool(bool), visit_i8(i8), visit_i16(i16), visit_i32(i32), visit_i64(i64),
        visit_i128(i128), visit_u8(u8), visit_u16(u16), visit_u32(u32), visit_u64(u64),
        visit_u128(u128), visit_f32(f32), visit_f64(f64), visit_char(char), visit_str(&str),
        visit_borrowed_str(&'de str), visit_string(String), visit_bytes(&[u8]),
        visit_borrowed_bytes(&'de [u8]), visit_byte_buf(Vec<u8>),
    }

    fn visit_none<E: de::Error>(self) -> Result<V::Value, E> {
        self.0.visit_none()
    }

    fn visit_unit<E: de::Error>(self) -> Result<V::Value, E> {
        self.0.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<V::Value, D::Error> {
        self.0.visit_some(Strict(deserializer))
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(
        self,
        deserializer: D,
    ) -> Result<V::Value, D::Error> {
        self.0.visit_newtype_struct(Strict(deserializer))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, access: A) -> Result<V::Value, A::Error> {
        self.0.visit_seq(Strict(access))
    }

    fn visit_map<A: MapAccess<'de>>(self, access: A) -> Result<V::Value, A::Error> {
        self.0.visit_map(Strict(access))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, access: A) -> Result<V::Value, A::Error> {
        self.0.visit_enum(Strict(access))
    }
}

impl<'de, V: Visitor<'de>> Visitor<'de> for ObjectVisitor<V> {
    type Value = V::Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<V::Value, A::Error> {
        Err(de::Error::invalid_type(Unexpected::Other("an array"), &self))
    }

    fn visit_map<A: MapAccess<'de>>(self, access: A) -> Result<V::Value, A::Error> {
        self.0.visit_map(Strict(access))
    }
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Strict<S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<S::Value, D::Error> {
        self.0.deserialize(Strict(deserializer))
    }
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Strict<A> {
    type Error = A::Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, A::Error> {
        self.0.next_element_seed(Strict(seed))
    }

    fn size_hint(&self) -> Option<usize> {
        self.0.size_hint()
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Strict<A> {
    type Error = A::Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, A::Error> {
        self.0.next_key_seed(seed)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        self.0.next_value_seed(Strict(seed))
    }

    fn size_hint(&self) -> Option<usize> {
        self.0.size_hint()
    }
}

impl<'de, A: EnumAccess<'de>> EnumAccess<'de> for Strict<A> {
    type Error = A::Error;
    type Variant = Strict<A::Variant>;

    fn variant_seed<S: DeserializeSeed<'de>>(
        self,
        seed: S,
    ) -> Result<(S::Value, Self::Variant), A::Error> {
        self.0.variant_seed(seed).map(|(value, variant)| (value, Strict(variant)))
    }
}

impl<'de, A: VariantAccess<'de>> VariantAccess<'de> for Strict<A> {
    type Error = A::Error;

    fn unit_variant(self) -> Result<(), A::Error> {
        self.0.unit_variant()
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, A::Error> {
        self.0.newtype_variant_seed(Strict(seed))
    }

    fn tuple_variant<V: Visitor<'de>>(
        self,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, A::Error> {
        self.0.tuple_variant(length, Strict(visitor))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, A::Error> {
        self.0.struct_variant(fields, ObjectVisitor(visitor))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    struct Point {
        x: i32,
        y: Option<f64>,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    enum Shape {
        Empty,
        At(Point),
        Line(i32, Point),
        Circle { centre: Point, radius: u8 },
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Drawing {
        name: Option<String>,
        shapes: Vec<Shape>,
        #[serde(default)]
        named: BTreeMap<String, Point>,
        #[serde(default)]
        pair: (u8, u8),
    }

    #[test]
    fn documents_of_the_described_shape_are_read() {
        let read: Drawing = from_slice(
            br#" {"name": null, "pair": [1, 2], "named": {"a": {"x": 5}}, "more": [{}],
                  "shapes": ["Empty", {"At": {"x": -1, "y": 0.5}}, {"Line": [7, {"x": 1}]},
                             {"Circle": {"centre": {"x": 3, "y": null}, "radius": 9}}]} "#,
        )
        .unwrap();
        let point = |x, y| Point { x, y };
        assert_eq!(
            read,
            Drawing {
                name: None,
                pair: (1, 2),
                named: BTreeMap::from([("a".to_owned(), point(5, None))]),
                shapes: vec![
                    Shape::Empty,
                    Shape::At(point(-1, Some(0.5))),
                    Shape::Line(7, point(1, None)),
                    Shape::Circle { centre: point(3, None), radius: 9 },
                ],
            }
        );
        assert_eq!(from_slice::<Vec<Point>>(br#"[{"x": 1}]"#).unwrap(), [point(1, None)]);
    }

    #[test]
    fn nested_arrays_are_not_accepted_as_objects() {
        for (json, path) in [
            (r#"["a", []]"#, ""),
            (r#"{"shapes": [{"At": [1, 2.0]}]}"#, "shapes[0].At: "),
            (r#"{"shapes": [{"Line": [7, [1, 2.0]]}]}"#, "shapes[0].Line[1]: "),
            (r#"{"shapes": [{"Circle": [{"x": 1}, 9]}]}"#, "shapes[0].Circle: "),
            (
                r#"{"shapes": [{"Circle": {"centre": [1], "radius": 9}}]}"#,
                "shapes[0].Circle.centre: ",
            ),
            (r#"{"shapes": [], "named": {"a": [5, 1.0]}}"#, "named.a: "),
        ] {
            let error = from_slice::<Drawing>(json.as_bytes()).unwrap_err();
            let expected = format!("{path}invalid type: an array, expected an object at line 1");
            assert!(error.starts_with(&expected), "{json}: {error}");
        }
        for other in ["7", "null", "true", r#""a""#, "{} {}", "", "{"] {
            from_slice::<Point>(other.as_bytes()).unwrap_err();
        }
        assert!(from_slice::<Vec<Point>>(b"[[1, 2.0]]").unwrap_err().starts_with("[0]: "));
    }
}
