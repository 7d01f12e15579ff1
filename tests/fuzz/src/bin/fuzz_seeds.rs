//! Writes what the fuzz targets start from: `fuzz_seeds DIR` makes `DIR/TARGET/seed-N`, and `DIR/worker.wasm`, the JavaScript
//! worker that random programs run on.

use std::{fs, path::Path, process::ExitCode};

fn main() -> ExitCode {
    let Some(dir) = std::env::args_os().nth(1) else {
        eprintln!("usage: fuzz_seeds DIR");
        return ExitCode::from(2);
    };
    match write(Path::new(&dir)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cannot write seeds to {}: {error}", dir.to_string_lossy());
            ExitCode::FAILURE
        }
    }
}

fn write(dir: &Path) -> std::io::Result<()> {
    for target in capstan_fuzz::TARGETS {
        let dir = dir.join(target);
        fs::create_dir_all(&dir)?;
        for (number, seed) in capstan_fuzz::seeds(target).iter().enumerate() {
            fs::write(dir.join(format!("seed-{number}")), seed)?;
        }
    }
    fs::write(dir.join("worker.wasm"), capstan_vat_js::worker())
}
