//! Bundles in transactions: unpacked within bounds and verified.

use std::io::Read as _;

use capstan_bundle::BundleError;
use capstan_genesis::{BundleId, BundleKind};
use capstan_kernel_ports::host::VatHost;
use flate2::read::MultiGzDecoder;

use crate::tx::{Compression, Packed, TxError};

/// Returns the uncompressed bytes of a [`Packed`] bundle. It never produces more of them than were declared.
pub(crate) fn unpack(packed: Packed) -> Result<Vec<u8>, TxError> {
    match packed.compression {
        Compression::None => Ok(packed.bytes),
        Compression::Gzip => gunzip(&packed.bytes, packed.uncompressed_size),
    }
}

/// Checks that `bytes` are a valid bundle with the id `id`. Returns the bytes to keep. Those of an Endo archive are
/// its canonical form, so that they are a function of the id. Every failure is a [`TxError`] of the sender.
pub(crate) fn verify(
    bytes: Vec<u8>,
    id: &BundleId,
    host: &impl VatHost,
) -> Result<Vec<u8>, TxError> {
    let refuse = |error: BundleError| TxError::Bundle(error.to_string());
    match id.kind() {
        BundleKind::Wasm => {
            capstan_bundle::check_wasm_id(&bytes, id.as_str()).map_err(refuse)?;
            host.validate(&bytes).map_err(|refused| TxError::Bundle(refused.0))?;
            Ok(bytes)
        }
        BundleKind::EndoZip => {
            let bundle = capstan_bundle::verify(&bytes).map_err(refuse)?;
            bundle.check_id(id.as_str()).map_err(refuse)?;
            Ok(bundle.into_zip())
        }
    }
}

fn gunzip(bytes: &[u8], declared: u64) -> Result<Vec<u8>, TxError> {
    let mut out = Vec::new();
    // One byte more than declared reveals a bundle that is too long.
    let mut decoder = MultiGzDecoder::new(bytes).take(declared.saturating_add(1));
    let result = decoder.read_to_end(&mut out);
    result.map_err(|e| TxError::Decompression(format!("not gzip: {e}")))?;
    match out.len() as u64 == declared {
        true => Ok(out),
        false if out.len() as u64 > declared => {
            let problem = format!("it has more than the {declared} bytes that were declared");
            Err(TxError::Decompression(problem))
        }
        false => {
            let problem = format!("it has {} bytes, {declared} were declared", out.len());
            Err(TxError::Decompression(problem))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn packed(bytes: Vec<u8>, uncompressed_size: u64) -> Packed {
        Packed { bytes, compression: Compression::Gzip, uncompressed_size }
    }

    #[test]
    fn gzip_is_unpacked_to_exactly_what_was_declared() {
        let bytes = vec![7; 5000];
        assert_eq!(unpack(packed(gzip(&bytes), 5000)).unwrap(), bytes);
        for wrong in [4999, 5001, 0] {
            let error = unpack(packed(gzip(&bytes), wrong)).unwrap_err();
            assert!(error.to_string().contains("declared"), "{error}");
        }
    }

    #[test]
    fn a_gzip_bomb_is_cut_off_at_the_declared_size() {
        let bomb = gzip(&vec![0; 50_000_000]);
        assert!(bomb.len() < 100_000);
        let error = unpack(packed(bomb, 1000)).unwrap_err();
        assert!(error.to_string().contains("more than the 1000 bytes"), "{error}");
    }

    #[test]
    fn damaged_gzip_is_refused() {
        let mut bytes = gzip(b"hello, hello, hello");
        for bad in [bytes[..10].to_vec(), b"hello".to_vec(), Vec::new()] {
            assert!(matches!(unpack(packed(bad, 19)), Err(TxError::Decompression(_))));
        }
        let last = bytes.len() - 5;
        bytes[last] ^= 1; // the checksum
        assert!(matches!(unpack(packed(bytes, 19)), Err(TxError::Decompression(_))));
    }
}
