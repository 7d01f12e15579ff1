//! Acceptance and refusal of bundles, tried on one that Endo's own tools made
//! (`vat/js/tools/bundle.mjs`, from three small modules).

#![allow(clippy::unwrap_used)] // tests

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use capstan_bundle::{
    ArchiveError, BundleError, check_wasm_id, verify, verify_json, verify_zip, wasm_id,
};
use capstan_test_random::Random;
use serde_json::{Value, json};
use sha2::{Digest, Sha512};

const ENDO_BUNDLE: &[u8] = include_bytes!("endo-bundle.json");

fn endo_record() -> Value {
    serde_json::from_slice(ENDO_BUNDLE).unwrap()
}

fn endo_zip() -> Vec<u8> {
    BASE64.decode(endo_record()["endoZipBase64"].as_str().unwrap()).unwrap()
}

fn record_of(zip: &[u8]) -> Vec<u8> {
    let mut record = endo_record();
    record["endoZipBase64"] = BASE64.encode(zip).into();
    record.to_string().into_bytes()
}

/// Returns the files of an archive that has passed verification.
fn files(zip: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    let mut rest = zip;
    while rest.starts_with(b"PK\x03\x04") {
        let length = u32::from_le_bytes(rest[22..26].try_into().unwrap()) as usize;
        let name_length = u16::from_le_bytes(rest[26..28].try_into().unwrap()) as usize;
        let (name, after) = rest[30..].split_at(name_length);
        files.push((String::from_utf8(name.to_vec()).unwrap(), after[..length].to_vec()));
        rest = &after[length..];
    }
    files
}

/// Returns an archive of `files`. It shares no code with the crate's own writer.
fn zip(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let (mut zip, mut directory) = (Vec::new(), Vec::new());
    for (name, bytes) in files {
        let offset = zip.len() as u32;
        let mut headers = [20u16, 0, 0].map(u16::to_le_bytes).concat();
        let length = bytes.len() as u32;
        headers.extend(
            [0x5A21_3C7A, crc32fast::hash(bytes), length, length].map(u32::to_le_bytes).concat(),
        );
        headers.extend([name.len() as u16, 0].map(u16::to_le_bytes).concat());
        zip.extend([&b"PK\x03\x04"[..], &headers, name.as_bytes(), bytes].concat());
        directory.extend([&b"PK\x01\x02\x14\x00"[..], &headers, &[0; 6], &[0; 4]].concat());
        directory.extend([&offset.to_le_bytes()[..], name.as_bytes()].concat());
    }
    let count = files.len() as u16;
    let sizes = [directory.len() as u32, zip.len() as u32];
    zip.extend(directory);
    zip.extend(b"PK\x05\x06");
    zip.extend([0, 0, count, count].map(u16::to_le_bytes).concat());
    zip.extend(sizes.map(u32::to_le_bytes).concat());
    zip.extend([0, 0]);
    zip
}

/// Returns the bundle with `change` made to its compartment map.
fn with_map(change: impl Fn(&mut Value)) -> Vec<u8> {
    let mut files = files(&endo_zip());
    let mut map: Value = serde_json::from_slice(&files[0].1).unwrap();
    change(&mut map);
    files[0].1 = map.to_string().into_bytes();
    zip(&files)
}

#[test]
fn an_endo_bundle_passes_and_has_the_id_that_endo_gives() {
    let bundle = verify_json(ENDO_BUNDLE).unwrap();
    let map = &files(&endo_zip())[0];
    assert_eq!(map.0, "compartment-map.json");
    assert_eq!(bundle.id().as_str(), format!("b1-{}", hex::encode(Sha512::digest(&map.1))));
    assert_eq!(
        bundle.id().as_str(),
        format!("b1-{}", endo_record()["endoZipBase64Sha512"].as_str().unwrap())
    );
    assert_eq!(verify_zip(&endo_zip()).unwrap(), bundle);
    assert_eq!(verify(ENDO_BUNDLE).unwrap(), verify(&endo_zip()).unwrap());
    assert_eq!(serde_json::from_str::<Value>(&bundle.to_json()).unwrap(), endo_record());
}

#[test]
fn archives_with_the_same_files_become_the_same_bytes() {
    let canonical = verify_zip(&endo_zip()).unwrap().into_zip();
    assert_eq!(canonical, endo_zip(), "Endo's own form is canonical");
    let mut reversed = files(&canonical);
    reversed.reverse();
    let other = zip(&reversed);
    assert_ne!(other, canonical);
    assert_eq!(verify_zip(&other).unwrap().into_zip(), canonical);
}

#[test]
fn a_changed_module_is_refused_by_name() {
    let mut files = files(&endo_zip());
    let (path, bytes) = &mut files[2];
    bytes[10] ^= 1;
    let path = path.clone();
    let error = verify_zip(&zip(&files)).unwrap_err();
    assert!(
        matches!(&error, BundleError::ModuleHash { path: named, .. } if *named == path),
        "{error}"
    );
}

#[test]
fn a_file_too_many_or_too_few_is_refused_by_name() {
    let mut more = files(&endo_zip());
    more.push(("lib/extra.js".to_string(), b"1".to_vec()));
    assert_eq!(verify_zip(&zip(&more)), Err(BundleError::ExtraFile("lib/extra.js".to_string())));
    let mut fewer = files(&endo_zip());
    let (gone, _) = fewer.remove(1);
    assert_eq!(verify_zip(&zip(&fewer)), Err(BundleError::MissingModule(gone)));
    let no_map = files(&endo_zip()).split_off(1);
    assert_eq!(verify_zip(&zip(&no_map)), Err(BundleError::NoCompartmentMap));
    assert_eq!(verify_zip(&zip(&[])), Err(BundleError::NoCompartmentMap));
}

#[test]
fn a_name_that_comes_twice_is_refused() {
    let mut twice = files(&endo_zip());
    twice.push(twice[1].clone());
    let expected = ArchiveError::Duplicate(twice[1].0.clone());
    assert_eq!(verify_zip(&zip(&twice)), Err(expected.into()));
}

#[test]
fn an_alleged_id_must_be_the_actual_one() {
    let bundle = verify_json(ENDO_BUNDLE).unwrap();
    bundle.check_id(bundle.id().as_str()).unwrap();
    let error = bundle.check_id("b1-00").unwrap_err().to_string();
    assert_eq!(
        error,
        format!("alleged bundleID b1-00 does not match actual {}", bundle.id().as_str())
    );
    let mut record = endo_record();
    record["endoZipBase64Sha512"] = "00".into();
    assert_eq!(verify(record.to_string().as_bytes()).unwrap_err().to_string(), error);
}

#[test]
fn only_the_three_fields_make_a_bundle() {
    let refused = |change: &dyn Fn(&mut Value)| {
        let mut record = endo_record();
        change(&mut record);
        verify(record.to_string().as_bytes()).unwrap_err()
    };
    assert!(matches!(refused(&|r| r["more"] = "x".into()), BundleError::Shape(_)));
    assert!(matches!(refused(&|r| r["endoZipBase64"] = 1.into()), BundleError::Shape(_)));
    assert!(matches!(refused(&|r| *r = json!([])), BundleError::Shape(_)));
    let without = refused(&|r| _ = r.as_object_mut().unwrap().remove("moduleFormat"));
    assert!(without.to_string().contains("missing field `moduleFormat`"), "{without}");
    let format = refused(&|r| r["moduleFormat"] = "nestedEvaluate".into());
    assert_eq!(format, BundleError::Format("nestedEvaluate".to_string()));
    assert!(matches!(refused(&|r| r["endoZipBase64"] = "UEs*".into()), BundleError::Base64(_)));
    for bytes in [&b""[..], b"{", b"\xFF\xFE", b"not a bundle"] {
        assert!(matches!(verify(bytes), Err(BundleError::Shape(_))));
    }
}

#[test]
fn what_is_no_archive_or_a_cut_one_is_refused() {
    let whole = endo_zip();
    for length in [0, 1, 21, 22, whole.len() / 2, whole.len() - 1] {
        let error = verify_json(&record_of(&whole[..length])).unwrap_err();
        assert_eq!(error, BundleError::Archive(ArchiveError::End), "cut to {length} bytes");
    }
    let longer = [&whole[..], b"\0"].concat();
    assert_eq!(verify_zip(&longer), Err(ArchiveError::End.into()));
    let prefixed = [b"PK", &whole[..]].concat();
    assert_eq!(verify_zip(&prefixed), Err(ArchiveError::Directory.into()));
}

#[test]
fn compressed_files_are_refused_unread() {
    // A deflate bomb needs a compressed file: the method and both lengths say so before any contents.
    let plain = zip(&files(&endo_zip())[..1]);
    let directory = plain.len() - 22 - 46 - "compartment-map.json".len();
    let patched = |offset: usize, bytes: &[u8]| {
        let mut zip = plain.clone();
        for header in [4, directory + 6] {
            zip[header + offset..][..bytes.len()].copy_from_slice(bytes);
        }
        verify_zip(&zip).unwrap_err()
    };
    let name = "compartment-map.json".to_string();
    assert_eq!(patched(4, &[8, 0]), ArchiveError::Compressed(name.clone()).into());
    assert_eq!(patched(18, &[0xFF; 4]), ArchiveError::Compressed(name.clone()).into());
    assert_eq!(patched(2, &[1, 0]), ArchiveError::Feature(name.clone()).into(), "encrypted");
    assert_eq!(patched(2, &[8, 0]), ArchiveError::Feature(name.clone()).into(), "lengths behind");
    assert_eq!(patched(10, &[0]), ArchiveError::Checksum(name).into());
}

#[test]
fn a_compartment_map_must_make_sense() {
    let refused = |change: &dyn Fn(&mut Value)| match verify_zip(&with_map(change)) {
        Err(BundleError::CompartmentMap(problem)) => problem.to_string(),
        other => panic!("expected a refused compartment map, got {other:?}"),
    };
    verify_zip(&with_map(|_| {})).unwrap();
    let name = "greeter-v0.0.0";
    let entry = refused(&|map| map["entry"]["module"] = "./gone.js".into());
    assert!(entry.starts_with("entry points to module \"./gone.js\""), "{entry}");
    let location = refused(&|map| map["compartments"][name]["location"] = "elsewhere".into());
    assert!(location.contains("has location \"elsewhere\""), "{location}");
    let module = |map: &mut Value, to: Value| {
        map["compartments"][name]["modules"]["./text.js"] = to;
    };
    let kind =
        refused(&|map| module(map, json!({"location": "text.js", "parser": "pre-mjs-json"})));
    assert!(kind.contains("of no known kind"), "{kind}");
    let link = refused(&|map| module(map, json!({"compartment": "gone-v1", "module": "."})));
    assert!(link.contains("\"gone-v1\", which is not there"), "{link}");
    let clash = json!({"location": "place.js", "parser": "pre-mjs-json", "sha512": "00"});
    assert!(refused(&|map| module(map, clash.clone())).contains("two hashes"));
    assert!(refused(&|map| map["surprise"] = 1.into()).contains("unknown field `surprise`"));
    assert!(refused(&|map| *map = json!(7)).contains("invalid type"));
}

#[test]
fn a_wasm_bundle_is_named_by_its_hash() {
    // SHA-256 of the empty text, FIPS 180-4.
    let id = "w1-e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    assert_eq!(wasm_id(b"").as_str(), id);
    check_wasm_id(b"", id).unwrap();
    assert!(matches!(check_wasm_id(b"\0", id), Err(BundleError::Id { .. })));
}

/// Mutated bytes cause no panic. If they pass, they are the same bundle.
#[test]
fn mutations_never_panic_and_never_pass_as_something_else() {
    let default = std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64;
    let mut random = Random::seeded(default);
    let seed = random.seed();
    let original = verify_zip(&endo_zip()).unwrap();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(2);
    while std::time::Instant::now() < deadline {
        let mut bytes = endo_zip();
        for _ in 0..=random.index(3) {
            mutate(&mut bytes, &mut random);
        }
        if let Ok(bundle) = verify_zip(&bytes) {
            assert_eq!(bundle, original, "CAPSTAN_TEST_SEED={seed}");
        }
        let mut text = ENDO_BUNDLE.to_vec();
        mutate(&mut text, &mut random);
        if let Ok(bundle) = verify_json(&text) {
            assert_eq!(bundle, original, "CAPSTAN_TEST_SEED={seed}");
        }
    }
}

/// Changes, removes, doubles or swaps a few bytes.
fn mutate(bytes: &mut Vec<u8>, random: &mut Random) {
    let at = random.index(bytes.len());
    let to = (at + 1 + random.index(40)).min(bytes.len());
    match random.index(5) {
        0 => bytes[at] ^= 1 << random.index(8),
        1 => bytes[at] = [0, 1, 0x7F, 0x80, 0xFF][random.index(5)],
        2 => _ = bytes.drain(at..to),
        3 => bytes.extend_from_within(at..to),
        _ => bytes[at..to].reverse(),
    }
    if bytes.is_empty() {
        bytes.push(0);
    }
}
