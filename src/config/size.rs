//! Sizes as people write them: `512MiB`, `64KB`, `1GiB`, or a number of bytes.

/// Parses a size into bytes; `KiB`, `MiB`, `GiB`, `TiB` are powers of 1024, `kB`, `MB`, `GB`, `TB` of 1000.
pub fn parse(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let amount: u64 = text[..digits].parse().ok()?;
    let unit: u64 = match text[digits..].trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        "tib" => 1 << 40,
        _ => return None,
    };
    amount.checked_mul(unit)
}

/// Prints a size in its largest whole unit of 1024.
pub fn print(bytes: u64) -> String {
    for (unit, name) in [(1u64 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")] {
        if bytes != 0 && bytes.is_multiple_of(unit) {
            return format!("{}{name}", bytes / unit);
        }
    }
    format!("{bytes}B")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_binary_and_decimal_units() {
        assert_eq!(parse("512MiB"), Some(512 << 20));
        assert_eq!(parse("2 GB"), Some(2_000_000_000));
        assert_eq!(parse("4096"), Some(4096));
    }

    #[test]
    fn refuses_what_is_no_size() {
        for bad in ["", "MiB", "1.5GiB", "-1", "5 parsecs", "99999999999999TiB"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn prints_what_it_reads() {
        for text in ["512MiB", "1GiB", "1000B", "0B"] {
            assert_eq!(parse(text).map(print).as_deref(), Some(text));
        }
    }
}
