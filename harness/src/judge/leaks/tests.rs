//! Every form in every container, wherever chunks end, and what is no leak.

use std::io::Write;

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use flate2::{Compression, write::GzEncoder};

use super::{
    scanner::{Scanner, Seen, needles},
    *,
};

/// With everything that some form writes in another way. Its base64 has characters of which the alphabets differ.
const VALUE: &str = r#"p&s/w"or\d 1?é~ü>?¿ÿ-end"#;

/// Searches a stream that comes in chunks of a size.
fn search(stream: &[u8], chunk: usize) -> Seen {
    let mut scanner = Scanner::new(needles([("password".to_owned(), VALUE.to_owned())]).unwrap());
    stream.chunks(chunk).for_each(|chunk| scanner.write_all(chunk).unwrap());
    scanner.end()
}

fn forms(seen: &Seen) -> Vec<&str> {
    assert!(seen.leaks.keys().all(|(value, _)| value == "password"));
    seen.leaks.keys().map(|(_, form)| form.as_str()).collect()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 3).unwrap()
}

fn tar(bytes: &[u8]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(bytes.len() as u64);
    archive.append_data(&mut header, "file", bytes).unwrap();
    archive.into_inner().unwrap()
}

/// The value in every form, with the form's name.
fn planted() -> Vec<(&'static str, Vec<u8>)> {
    let hex = |upper: bool| -> String {
        VALUE.bytes().map(|b| if upper { format!("{b:02X}") } else { format!("{b:02x}") }).collect()
    };
    let url: String = form_urlencoded::byte_serialize(VALUE.as_bytes()).collect();
    let html = serde_json::to_string(VALUE).unwrap().replace('&', "\\u0026").replace('>', "\\u003e");
    let mut planted = vec![
        ("plain", VALUE.to_owned()),
        ("hex", hex(false)),
        ("hex", hex(true)),
        ("URL-encoded", url.clone()),
        ("URL-encoded", url.replace('+', "%20").to_lowercase()),
        ("JSON-escaped", serde_json::to_string(VALUE).unwrap()),
        ("JSON-escaped", html),
    ];
    for before in ["", "a", "ab"] {
        planted.push(("base64", STANDARD.encode(format!("{before}{VALUE}"))));
        planted.push(("base64url", URL_SAFE_NO_PAD.encode(format!("{before}{VALUE}"))));
    }
    planted.into_iter().map(|(form, text)| (form, text.into_bytes())).collect()
}

#[test]
fn every_form_is_found_in_every_container_and_across_chunks() {
    type Pack = fn(&[u8]) -> Vec<u8>;
    let packs: [(&str, Pack); 9] = [
        ("", |bytes| bytes.to_vec()),
        (" in gzip", gzip),
        (" in zstd", zstd),
        (" in zstd", |bytes| zstd(&tar(bytes))),
        (" in gzip in base64", |bytes| STANDARD.encode(gzip(bytes)).into_bytes()),
        (" in zstd in base64", |bytes| URL_SAFE_NO_PAD.encode(zstd(bytes)).into_bytes()),
        (" in gzip in base64 in base64", |bytes| STANDARD.encode(STANDARD.encode(gzip(bytes))).into_bytes()),
        (" in gzip in zstd", |bytes| zstd(&[b"key".as_slice(), &gzip(bytes)].concat())),
        (" in gzip in gzip in zstd", |bytes| zstd(&tar(&gzip(&gzip(bytes))))),
    ];
    for (form, text) in planted() {
        for (name, pack) in packs {
            let stream = [b"before ".as_slice(), &pack(&[b"<".as_slice(), &text, b">"].concat()), b" after"].concat();
            for chunk in [1, 7, stream.len()] {
                let seen = search(&stream, chunk);
                let expected = format!("{form}{name}");
                assert!(forms(&seen).contains(&expected.as_str()), "{expected}, in chunks of {chunk}: {seen:?}");
                assert_eq!(seen.cut, [].into());
            }
        }
    }
}

#[test]
fn a_place_is_told_by_its_offset_and_value_by_its_name_only() {
    let noise = vec![b'.'; 200_000];
    let stream = [&noise, VALUE.as_bytes(), &noise, VALUE.as_bytes()].concat();
    let search = Search::new(needles([("password".to_owned(), VALUE.to_owned())]).unwrap());
    search.bytes("a log", &stream);
    let searched = search.end();
    assert_eq!((searched.artifacts, searched.bytes), (1, stream.len() as u64));
    let Outcome::Failed(text) = searched.outcome() else { panic!("it passed") };
    assert!(text.starts_with("the secret value password is in a log, at byte 200000, plain (and in 1 more"), "{text}");
    assert!(!text.contains("s/w") && !text.contains(".."), "{text}");
}

#[test]
fn parts_are_found_and_what_is_alike_is_not() {
    let part: String = VALUE.chars().skip(3).take(12).collect();
    assert_eq!(forms(&search(part.as_bytes(), 5)), ["plain"]);
    let short: String = VALUE.chars().take(11).collect();
    assert_eq!(forms(&search(format!("{short}{short}").as_bytes(), 5)), [""; 0]);
    // What only begins like packed content ends nothing.
    let false_magic = [b"\x1f\x8b\x08\xff H4sI KLUv/Q \x28\xb5\x2f\xfd".as_slice(), VALUE.as_bytes()].concat();
    assert_eq!(forms(&search(&false_magic, 3)), ["plain"]);
}

#[test]
fn members_that_follow_each_other_and_streams_that_are_cut_off_are_unpacked() {
    let first = gzip(b"nothing");
    assert_eq!(forms(&search(&[first, gzip(VALUE.as_bytes())].concat(), 10)), ["plain in gzip"]);
    let mut cut_off = gzip(&[VALUE.as_bytes(), &[b'.'; 1000]].concat());
    cut_off.truncate(cut_off.len() - 9);
    assert_eq!(forms(&search(&cut_off, 10)), ["plain in gzip"]);
    let text = STANDARD.encode(&cut_off);
    assert_eq!(forms(&search(&text.as_bytes()[..text.len() - 3], 10)), ["plain in gzip in base64"]);
}

#[test]
fn what_a_bound_cuts_off_is_said() {
    // What hardly can be compressed is in gzip as it was.
    let deep = (0..7).fold(VALUE.as_bytes().to_vec(), |bytes, _| gzip(&[bytes, vec![b'.'; 1000]].concat()));
    let seen = search(&deep, 1000);
    assert_eq!(forms(&seen), [""; 0]);
    assert_eq!(seen.cut, ["gzip content inside 6 others is not unpacked".to_owned()].into());

    // A bomb: a third of a gigabyte of zeros, and then the value.
    let zeros = vec![0; 1 << 20];
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    (0..300).for_each(|_| encoder.write_all(&zeros).unwrap());
    encoder.write_all(VALUE.as_bytes()).unwrap();
    let seen = search(&encoder.finish().unwrap(), 1000);
    assert_eq!(forms(&seen), [""; 0]);
    assert_eq!(seen.cut, ["no more than 256 MiB of unpacked content are searched".to_owned()].into());

    let search = Search::new(needles([("password".to_owned(), VALUE.to_owned())]).unwrap());
    search.bytes("a dump", &deep);
    search.missed("a Pod's log", "the kubelet does not answer");
    let Outcome::Failed(text) = search.end().outcome() else { panic!("what was missed passed") };
    assert!(text.contains("not searched: a dump: gzip content inside 6") && text.contains("not searched: a Pod's log"));
}

#[test]
fn a_value_in_a_name_is_found_and_not_shown() {
    let search = Search::new(needles([("password".to_owned(), "0123456789abcdef".to_owned())]).unwrap());
    search.bytes("ConfigMap 0123456789abcdef", b"");
    let Outcome::Failed(text) = search.end().outcome() else { panic!("it passed") };
    assert!(text.contains("password is in an artifact whose name is not shown") && !text.contains("56789"), "{text}");
}

#[test]
fn a_search_without_finds_passes() {
    let search = Search::new(needles([("password".to_owned(), VALUE.to_owned())]).unwrap());
    search.bytes("a log", b"nothing of interest");
    let searched = search.end();
    assert_eq!(searched.to_string(), "1 artifacts, 0.0 MB");
    assert_eq!(searched.outcome(), Outcome::Passed);
}
