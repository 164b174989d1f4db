// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! How facts are written: numbers and bytes as text, lists with a limit, the version first.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::Display;
use core::marker::PhantomData;
use core::str::FromStr;

use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Bytes, FactsVersion, MAX_LIST};

impl<const MAX: usize> Serialize for Bytes<MAX> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        text::serialize(self, serializer)
    }
}

impl<'de, const MAX: usize> Deserialize<'de> for Bytes<MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text::deserialize(deserializer)
    }
}

impl Serialize for FactsVersion {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u32(Self::NUMBER)
    }
}

impl<'de> Deserialize<'de> for FactsVersion {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u32::deserialize(deserializer)? {
            Self::NUMBER => Ok(Self),
            other => Err(D::Error::custom(format_args!(
                "facts of version {other}: only version 1 is understood"
            ))),
        }
    }
}

/// What has a text form.
pub(crate) mod text {
    use super::{Deserialize, Deserializer, Display, Error, FromStr, Serializer, String};

    pub(crate) fn serialize<S: Serializer>(value: &impl Display, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub(crate) fn deserialize<'de, D, T>(deserializer: D) -> Result<T, D::Error>
    where
        D: Deserializer<'de>,
        T: FromStr<Err: Display>,
    {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// What has a text form, or nothing.
pub(crate) mod optional_text {
    use super::{Deserialize, Deserializer, Display, Error, FromStr, Serialize, Serializer, String, ToString};

    pub(crate) fn serialize<S: Serializer>(value: &Option<impl Display>, serializer: S) -> Result<S::Ok, S::Error> {
        value.as_ref().map(ToString::to_string).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
    where
        D: Deserializer<'de>,
        T: FromStr<Err: Display>,
    {
        let text = Option::<String>::deserialize(deserializer)?;
        text.map(|text| text.parse().map_err(D::Error::custom)).transpose()
    }
}

/// Numbers as `0x` and hexadecimal digits; read also as decimal digits.
pub(crate) mod hex {
    use super::{Deserialize, Deserializer, Error, Serializer, String};

    pub(crate) fn serialize<S, T>(value: &T, serializer: S) -> Result<S::Ok, S::Error>
    where
        S: Serializer,
        T: Copy + Into<u64>,
    {
        let digits = 2 * size_of::<T>().min(4);
        let value: u64 = (*value).into();
        serializer.collect_str(&format_args!("0x{value:0digits$x}"))
    }

    pub(crate) fn deserialize<'de, D, T>(deserializer: D) -> Result<T, D::Error>
    where
        D: Deserializer<'de>,
        T: TryFrom<u64>,
    {
        let text = String::deserialize(deserializer)?;
        let wrong = || {
            let shown: String = text.chars().take(40).collect();
            D::Error::custom(format_args!(
                "`{shown}` is not a number such as 0x9a49 of at most {} bytes",
                size_of::<T>()
            ))
        };
        let value = crate::options::number(&text).ok_or_else(wrong)?;
        T::try_from(value).map_err(|_| wrong())
    }
}

/// Lists of at most [`MAX_LIST`] elements.
pub(crate) mod list {
    use super::{Bounded, Deserialize, Deserializer, PhantomData, Serialize, Serializer, Vec};

    pub(crate) fn serialize<S: Serializer, T: Serialize>(list: &[T], serializer: S) -> Result<S::Ok, S::Error> {
        list.serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
        deserializer: D,
    ) -> Result<Vec<T>, D::Error> {
        deserializer.deserialize_seq(Bounded(PhantomData))
    }
}

struct Bounded<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Bounded<T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "a list of at most {MAX_LIST} elements")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<T>, A::Error> {
        let mut list = Vec::new();
        while let Some(element) = seq.next_element()? {
            if list.len() == MAX_LIST {
                return Err(A::Error::custom(format_args!(
                    "a list of more than {MAX_LIST} elements"
                )));
            }
            list.push(element);
        }
        Ok(list)
    }
}
