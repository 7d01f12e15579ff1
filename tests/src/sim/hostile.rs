use capstan_client::TxBuilder;

use crate::{Account, Random};

/// A transaction that no honest proposer of the chain puts into a block, and what is wrong with it. `account` is one that
/// the chain knows.
pub fn hostile_transaction(
    account: &Account,
    chain_id: &str,
    random: &mut Random,
) -> (Vec<u8>, &'static str) {
    let calls = |account: &Account| account.calls(&["increment"]);
    let signed = |account: &Account, tx: TxBuilder| account.sign_for(chain_id, tx).bytes().to_vec();
    match random.below(6) {
        0 => {
            let mut bytes = signed(account, calls(account));
            let at = bytes.len() - 1 - random.below(60) as usize;
            bytes[at] ^= 1 << random.below(8);
            (bytes, "a signature that is wrong")
        }
        1 => {
            let mut early = account.clone();
            early.sequence += 1_000;
            (signed(&early, calls(&early)), "a sequence that comes later")
        }
        2 => {
            let stranger = Account::dev(1_000 + random.below(100) as u32);
            (signed(&stranger, calls(&stranger)), "an account that is not there")
        }
        3 => {
            let elsewhere = account.sign_for(&format!("{chain_id}0"), calls(account));
            (elsewhere.bytes().to_vec(), "a signature for another chain")
        }
        4 => (signed(account, calls(account).timeout_height(1)), "a height that is over"),
        _ => ((0..random.below(300)).map(|_| random.below(256) as u8).collect(), "rubbish"),
    }
}
