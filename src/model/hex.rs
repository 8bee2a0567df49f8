//! Bytes in hexadecimal.

/// Two lower-case digits per byte.
pub fn encode(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from(b"0123456789abcdef"[usize::from(nibble)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 0xf)]).collect()
}

/// The bytes that [`encode`] wrote, of a fixture.
#[cfg(test)]
pub(crate) fn decode(digits: &str) -> Vec<u8> {
    let byte = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).expect("hexadecimal digits");
    (0..digits.len()).step_by(2).map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_has_two_digits() {
        assert_eq!(encode(&[0x00, 0x09, 0x9f, 0xf0, 0xff]), "00099ff0ff");
        let all: String = (0..=255u8).map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(encode(&(0..=255).collect::<Vec<u8>>()), all);
        assert_eq!(encode(&[]), "");
        assert_eq!(decode(&all), (0..=255).collect::<Vec<u8>>());
    }
}
