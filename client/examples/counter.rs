//! Installs a bundle, creates a vat of it, sends it a message, and prints the result and the vat's statistics.
//!
//! ```text
//! capstan dev                                            # in another terminal
//! capstan bundle examples/counter/counter.js -o counter.json
//! cargo run -p capstan-client --example counter -- http://127.0.0.1:26657 counter.json increment
//! ```

use std::{env, error::Error, fs, process::ExitCode};

use capstan_client::{Args, Bundle, Client, CreateVat, Key, Passable, Wallet};

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [url, file, method] = arguments.as_slice() else {
        eprintln!("usage: counter URL BUNDLE METHOD");
        return ExitCode::from(2);
    };
    match fs::read(file).map_err(Into::into).and_then(|bundle| run(url, &bundle, method)) {
        Ok(report) => {
            println!("{report}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the example against the node at `url`, as the development account `alice`.
pub fn run(url: &str, bundle: &[u8], method: &str) -> Result<String, Box<dyn Error>> {
    let client = Client::new(url)?;
    let alice = Wallet::new(&client, Key::dev(0));

    let bundle = Bundle::from_file_bytes(bundle)?;
    alice.install_bundle(&bundle)?;

    let parameters = Args::value(&Passable::record([("start", 37.into())]))?;
    let vat = alice.create_vat(&CreateVat {
        name: "rust-example".to_owned(),
        parameters: Some(parameters),
        ..CreateVat::new(&bundle.id)
    })?;

    let answer = alice.send(&vat.root, method, &Args::new([5.into()])?)?;
    let value = answer.passable()?;

    let stats = client.vat_stats(&vat.vat_id)?;
    Ok(format!(
        "{method} was {} with {value:?}\n{} had {} deliveries and spent {} computrons",
        answer.status, vat.vat_id, stats.deliveries, stats.computrons_total
    ))
}
