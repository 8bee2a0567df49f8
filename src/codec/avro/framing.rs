//! How a record names its writer's schema: in a header, or in front of its datum.
//!
//! Serializers of schema registries do one or the other:
//!
//! | who | where | what |
//! |---|---|---|
//! | Confluent | in front | `00`, 4 bytes of a number; or `01`, 16 bytes of a GUID |
//! | Confluent | header `__value_schema_id` | the same; nothing in front |
//! | Apicurio | headers `apicurio.value.globalId`, `.contentId` | 8 bytes of a number; nothing in front |
//! | Apicurio | in front | `00`, 8 bytes of a number |
//! | AWS Glue | in front | `03`, `00` (`05`: packed with zlib), 16 bytes of a UUID |
//! | Avro | in front | `C3 01`, 8 bytes of the schema's fingerprint |

use crate::model::record::Headers;
use std::fmt;

pub(super) const SINGLE_OBJECT: [u8; 2] = [0xc3, 0x01];

/// A schema reference in a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum SchemaId {
    Number(u64),
    Guid([u8; 16]),
    Fingerprint([u8; 8]),
}

/// Where a record names its schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In this header.
    Header(&'static str),
    /// In front of the datum, in this serializer's form.
    Front(&'static str),
}

/// A record's schema reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Named<'a> {
    pub id: SchemaId,
    pub place: Place,
    pub datum: &'a [u8],
    /// Why the datum cannot be read with any schema.
    pub unreadable: Option<&'static str>,
}

const CONFLUENT: &str = "__value_schema_id";
const GLOBAL_ID: &str = "apicurio.value.globalId";
const CONTENT_ID: &str = "apicurio.value.contentId";
const ENCODING: &str = "apicurio.value.encoding";
/// No registry has numbers above this: a larger one is not a schema number.
const LIKELY_NUMBER_MAX: u64 = 1 << 28;

/// The schema that headers name. It wins over bytes in front, which are then part of the datum.
///
/// `Err`: a header that should name a schema but does not.
pub(super) fn in_headers<'a>(headers: &dyn Headers, value: &'a [u8]) -> Result<Option<Named<'a>>, String> {
    let (mut named, mut wrong, mut is_json) = (None, None, false);
    headers.for_each(&mut |name, bytes| {
        let (place, id) = match name {
            CONFLUENT => (CONFLUENT, confluent(bytes)),
            GLOBAL_ID => (GLOBAL_ID, number(bytes)),
            CONTENT_ID => (CONTENT_ID, number(bytes)),
            ENCODING => return is_json = bytes.eq_ignore_ascii_case(b"json"),
            _ => return,
        };
        match id {
            // The global id is the schema with its references; the content id comes second.
            Some(id) if named.is_none() || place != CONTENT_ID => named = Some((place, id)),
            Some(_) => {}
            None => wrong = Some((place, bytes.len())),
        }
    });
    if let (None, Some((place, len))) = (named, wrong) {
        return Err(format!("the header {place} is there to name a schema, and its {len} bytes name none"));
    }
    Ok(named.map(|(place, id)| Named {
        id,
        place: Place::Header(place),
        datum: value,
        unreadable: is_json.then_some(
            "the header apicurio.value.encoding says that it is JSON; \
             set apicurio.registry.avro.encoding=BINARY in its producer, or input.format: json",
        ),
    }))
}

/// The schemas that the bytes in front of a datum may name, the likeliest first.
pub(super) fn in_front(value: &[u8]) -> impl Iterator<Item = Named<'_>> {
    let named = |id, who, datum| Named { id, place: Place::Front(who), datum, unreadable: None };
    let (short, long) = match value {
        [0, rest @ ..] => (rest.split_first_chunk::<4>(), rest.split_first_chunk::<8>()),
        _ => (None, None),
    };
    let short = short.map(|(n, datum)| named(SchemaId::Number(u32::from_be_bytes(*n).into()), "Confluent", datum));
    let long = long.map(|(n, datum)| named(SchemaId::Number(u64::from_be_bytes(*n)), "Apicurio (8 bytes)", datum));
    // Numbers begin at 1: four zero bytes are the first half of eight bytes.
    let (first, second) =
        if short.is_some_and(|n| n.id == SchemaId::Number(0)) { (long, short) } else { (short, long) };
    let third = match value {
        [1, rest @ ..] => {
            rest.split_first_chunk::<16>().map(|(guid, datum)| named(SchemaId::Guid(*guid), "Confluent (GUID)", datum))
        }
        [3, packing @ (0 | 5), rest @ ..] => rest.split_first_chunk::<16>().map(|(uuid, datum)| Named {
            unreadable: (*packing == 5)
                .then_some("its datum is packed with zlib; set compression to NONE in its producer (AWS Glue)"),
            ..named(SchemaId::Guid(*uuid), "AWS Glue", datum)
        }),
        [0xc3, 0x01, rest @ ..] => rest
            .split_first_chunk::<8>()
            .map(|(print, datum)| named(SchemaId::Fingerprint(*print), "Avro's single-object encoding", datum)),
        _ => None,
    };
    [first, second, third].into_iter().flatten()
}

impl Named<'_> {
    /// Whether this cannot be chance: a datum may begin with the same bytes.
    pub fn is_likely(&self) -> bool {
        match self.id {
            SchemaId::Number(n) => (1..=LIKELY_NUMBER_MAX).contains(&n),
            SchemaId::Guid(_) | SchemaId::Fingerprint(_) => true,
        }
    }
}

fn confluent(bytes: &[u8]) -> Option<SchemaId> {
    match bytes {
        [0, n @ ..] => n.try_into().ok().map(|n| SchemaId::Number(u32::from_be_bytes(n).into())),
        [1, guid @ ..] => guid.try_into().ok().map(SchemaId::Guid),
        _ => None,
    }
}

fn number(bytes: &[u8]) -> Option<SchemaId> {
    bytes.try_into().ok().map(|n| SchemaId::Number(u64::from_be_bytes(n)))
}

impl SchemaId {
    /// The file name of this schema, without `.avsc`.
    pub fn of_file(stem: &str) -> Option<SchemaId> {
        let number = || stem.parse().ok().map(SchemaId::Number);
        let guid = || uuid::Uuid::try_parse(stem).ok().map(|uuid| SchemaId::Guid(uuid.into_bytes()));
        number().or_else(guid)
    }

    /// The configuration for records that name their schema like this.
    pub fn remedy(&self) -> String {
        match self {
            SchemaId::Number(_) | SchemaId::Guid(_) => {
                format!("put the schema into a directory as {self}.avsc, and set input.avro_schema to the directory")
            }
            SchemaId::Fingerprint(_) => {
                "put the schema that it was written with into a directory, under any name that ends in .avsc, and set \
                 input.avro_schema to the directory"
                    .to_owned()
            }
        }
    }

    /// Its kind, for people.
    pub fn kind(&self) -> &'static str {
        match self {
            SchemaId::Number(_) => "number",
            SchemaId::Guid(_) => "GUID",
            SchemaId::Fingerprint(_) => "fingerprint",
        }
    }
}

impl fmt::Display for SchemaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SchemaId::Number(n) => write!(f, "{n}"),
            SchemaId::Guid(bytes) => write!(f, "{}", uuid::Uuid::from_bytes(*bytes)),
            SchemaId::Fingerprint(bytes) => write!(f, "{:016x}", u64::from_le_bytes(*bytes)),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Header(name) => write!(f, "the header {name}"),
            Place::Front(who) => write!(f, "the prefix of its datum ({who})"),
        }
    }
}
