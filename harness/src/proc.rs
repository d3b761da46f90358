//! The texts in which the kernel tells amounts of memory and what is known of a process; proc(5) has their forms.

/// An amount of memory in a text like /proc/meminfo or the `status` of a process (bytes); nothing when the text has none of that
/// name.
pub fn memory(text: &str, name: &str) -> Option<u64> {
    let amount = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    amount.trim().strip_suffix("kB")?.trim_end().parse::<u64>().ok().map(|kib| kib << 10)
}

/// The fields in the `stat` of a process, from its state on. Before it is the name of the program, in parentheses, which may have
/// spaces and parentheses in it.
pub fn fields(stat: &str) -> Option<impl Iterator<Item = &str>> {
    Some(stat.rsplit_once(')')?.1.split_whitespace())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_told_in_bytes_by_its_whole_name() {
        let text = "MemTotal:       24640 kB\nMemFree:\t 1 kB\nHugePages_Total:       0\n";
        assert_eq!(memory(text, "MemTotal"), Some(24640 << 10));
        assert_eq!(memory(text, "MemFree"), Some(1 << 10));
        assert_eq!(memory("MemTotal: 10 kB\nMemAvailable:    2048 kB\n", "MemAvailable"), Some(2 << 20));
        for absent in ["Mem", "HugePages_Total", "SwapFree"] {
            assert_eq!(memory(text, absent), None, "{absent}");
        }
    }

    #[test]
    fn a_name_may_look_like_fields() {
        assert_eq!(fields("7 (a) S 1 (b)) Z 2").unwrap().collect::<Vec<_>>(), ["Z", "2"]);
        assert!(fields("7 a S").is_none());
    }
}
