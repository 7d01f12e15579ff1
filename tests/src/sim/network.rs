use capstan_client::{SignedTx, TxBuilder};
use capstan_genesis::Genesis;
use tendermint_abci::Application;
use tendermint_proto::v0_38::abci::{
    RequestCheckTx, RequestPrepareProposal, RequestProcessProposal, ResponseFinalizeBlock,
    response_process_proposal::ProposalStatus,
};

use super::{Validator, hostile_transaction};
use crate::{Account, CHAIN_ID, Options, RAW_ACCOUNTS, Random, actor_with};

/// The methods of `actor.wat` that messages call. `die` and `x` end a vat for good and come rarely.
const METHODS: [&str; 7] = ["increment", "increment", "grow", "erase", "forward", "work", "refuse"];

/// When a chain begins, in milliseconds since 1970: 2026-01-01.
const START_MS: u64 = 1_767_225_600_000;

/// A block that the validators agreed on, and what it came to where it was executed first.
#[derive(Clone, Debug, Default)]
pub struct Decided {
    /// Its transactions.
    pub txs: Vec<Vec<u8>>,
    /// Its time, in milliseconds since 1970.
    pub time_ms: u64,
    /// The app hash after it.
    pub app_hash: Option<Vec<u8>>,
    /// The code of each transaction.
    pub codes: Vec<u32>,
}

/// Counts of what happened in a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Crashes, wherever.
    pub crashes: u64,
    /// Crashes within an operation that the disk let fail.
    pub in_operation: u64,
    /// Crashes while a node was starting.
    pub at_start: u64,
    /// Starts that found the block on disk whose commit was never acknowledged.
    pub unacknowledged: u64,
    /// Transactions that CheckTx took.
    pub accepted: u64,
    /// Transactions that CheckTx refused.
    pub refused: u64,
    /// Blocks of proposers that are not honest, all of which were refused.
    pub dishonest: u64,
}

/// Validators, their clients, and the blocks that were decided.
#[derive(Debug)]
pub struct Network {
    random: Random,
    genesis: Genesis,
    validators: Vec<Validator>,
    decided: Vec<Decided>,
    /// Transactions that were accepted and are in no block, in the order in which they came.
    pool: Vec<Vec<u8>>,
    accounts: Vec<Account>,
    /// The time of each validator's clock, in milliseconds since 1970. Clocks differ, and jump.
    clocks_ms: Vec<u64>,
    counts: Counts,
}

impl Network {
    /// A network of validators that have not been started.
    pub fn new(validators: usize, genesis: Genesis, random: Random) -> Self {
        // Nodes may differ in whatever a node may choose.
        let clocks_ms = vec![START_MS; validators];
        let options =
            |index: usize| Options { max_vats_online: Some(1 + index * 3), ..Options::raw() };
        Self {
            random,
            genesis,
            validators: (0..validators).map(|index| Validator::new(options(index))).collect(),
            decided: Vec::new(),
            pool: Vec::new(),
            accounts: (0..RAW_ACCOUNTS).map(Account::dev).collect(),
            clocks_ms,
            counts: Counts::default(),
        }
    }

    /// Returns the counts of what happened so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// The blocks that were decided.
    pub fn decided(&self) -> &[Decided] {
        &self.decided
    }

    /// The validators.
    pub fn validators(&self) -> &[Validator] {
        &self.validators
    }

    /// One event, of whatever kind.
    pub fn event(&mut self) {
        let index = self.random.below(self.validators.len() as u64) as usize;
        self.clocks_ms[index] += self.random.below(2_000);
        match self.random.below(100) {
            0..12 => self.submit(),
            12..22 => self.propose(),
            22..27 => self.crash(index),
            27..33 => self.arm(index),
            33..35 => self.jump(index),
            _ if self.validators[index].is_up() => self.advance(index),
            _ => self.start(index),
        }
    }

    /// Ends all faults, lets everybody catch up, and goes on until nothing is left to do.
    pub fn settle(&mut self) {
        loop {
            for index in 0..self.validators.len() {
                if self.validators[index].disk().has_failed() {
                    self.crash(index);
                }
                while self.validators[index].height() < self.decided.len()
                    || !self.validators[index].is_up()
                {
                    match self.validators[index].is_up() {
                        true => self.advance(index),
                        // The disk may fail while it starts.
                        false => self.start(index),
                    }
                    self.validators[index].disk().fail_after(u64::MAX);
                }
            }
            if !self.needs_block() {
                return;
            }
            assert!(self.decided.len() < 100_000, "the chain never becomes idle");
            self.propose();
        }
    }

    /// A client signs a transaction and hands it to a node.
    fn submit(&mut self) {
        let index = self.random.below(self.validators.len() as u64) as usize;
        let Some(app) = self.validators[index].app().cloned() else { return };
        if self.validators[index].height() == 0 {
            return;
        }
        // At first each in its turn: the order in which accounts come says which vat they are given.
        let fresh = self.accounts.iter().position(|account| account.sequence == 0);
        let any = self.random.below(self.accounts.len() as u64) as usize;
        let account = fresh.unwrap_or(any);
        let tx = self.draft(account);
        let signed: SignedTx = self.accounts[account].sign(tx);
        let mut bytes = signed.bytes().to_vec();
        let spoiled = self.random.one_in(10);
        if spoiled {
            let at = self.random.below(bytes.len() as u64) as usize;
            bytes[at] ^= 1 << self.random.below(8);
        }
        let answer = app.check_tx(RequestCheckTx { tx: bytes.clone().into(), r#type: 0 });
        // A node that lags behind, or has forgotten its mempool, may refuse what another one would take.
        if answer.code == 0 {
            assert!(!spoiled, "a spoiled transaction was accepted: {}", hex::encode(&bytes));
            self.accounts[account].sequence += 1;
            self.counts.accepted += 1;
            self.pool.push(bytes);
        } else {
            self.counts.refused += 1;
        }
    }

    fn draft(&mut self, account: usize) -> TxBuilder {
        let signer = &self.accounts[account];
        if self.random.one_in(25) {
            // A module that no other is equal to.
            return signer.install(&actor_with(&self.random.number().to_le_bytes()));
        }
        // The end of the vats of two accounts; those of the last two keep the chain alive.
        if self.random.one_in(60) && account < 2 {
            return signer.calls(&[if account == 0 { "die" } else { "x" }]);
        }
        let count = 1 + self.random.below(4) as usize;
        let methods: Vec<&str> = (0..count).filter_map(|_| self.random.pick(&METHODS)).collect();
        self.accounts[account].calls(&methods)
    }

    /// Returns `true` if consensus would make a block: for transactions, or since the last one changed the app hash.
    fn needs_block(&self) -> bool {
        let hash = |block: Option<&Decided>| block.and_then(|block| block.app_hash.clone());
        let [.., before, last] = self.decided.as_slice() else { return true };
        !self.pool.is_empty() || hash(Some(before)) != hash(Some(last))
    }

    /// Decides a block, if more than two thirds of the validators have executed the last one.
    fn propose(&mut self) {
        let current: Vec<usize> = (0..self.validators.len())
            .filter(|index| {
                let validator = &self.validators[*index];
                validator.is_up() && validator.height() == self.decided.len()
            })
            .collect();
        if current.len() * 3 <= self.validators.len() * 2 || !self.needs_block() {
            return;
        }
        let Some(proposer) = self.random.pick(&current) else { return };
        if self.random.one_in(4) {
            return self.propose_dishonestly(&current);
        }
        let Some(app) = self.validators[proposer].app() else { return };
        let taken = self.pool.len().min(self.random.below(6) as usize + 1);
        let mut candidates: Vec<Vec<u8>> = self.pool.drain(..taken).collect();
        let good = candidates.clone();
        // A mempool that somebody has put rubbish into.
        if self.random.one_in(4) {
            let account = self.random.pick(&self.accounts).expect("there are accounts");
            let at = self.random.below(candidates.len() as u64 + 1) as usize;
            candidates.insert(at, hostile_transaction(&account, CHAIN_ID, &mut self.random).0);
        }
        let txs = candidates.into_iter().map(Into::into).collect();
        let request = RequestPrepareProposal { max_tx_bytes: 1 << 20, txs, ..Default::default() };
        let txs: Vec<_> = app.prepare_proposal(request).txs.iter().map(|tx| tx.to_vec()).collect();
        assert_eq!(txs, good, "a proposer takes what CheckTx took, and nothing else");
        for voter in &current {
            assert!(self.accepts(*voter, &txs), "validator {voter} refused an honest block");
        }
        let time_ms = self.next_time_ms(&current);
        self.decided.push(Decided { txs, time_ms, ..Decided::default() });
    }

    /// The next block's time by CometBFT's rule: the median of what the voters' clocks show, and later than the last.
    fn next_time_ms(&self, voters: &[usize]) -> u64 {
        let mut shown: Vec<u64> = voters.iter().map(|voter| self.clocks_ms[*voter]).collect();
        shown.sort_unstable();
        let last = self.decided.last().map_or(START_MS, |block| block.time_ms);
        shown[shown.len() / 2].max(last + 1)
    }

    /// Sets a validator's clock: some years ahead, back to before the chain began, or right again.
    fn jump(&mut self, index: usize) {
        const YEAR_MS: u64 = 365 * 24 * 3_600 * 1_000;
        let others = self.clocks_ms.iter().max().copied().unwrap_or(START_MS);
        self.clocks_ms[index] = match self.random.below(4) {
            0 => others.saturating_add(self.random.below(3) * YEAR_MS),
            1 => START_MS - YEAR_MS,
            2 => 0,
            _ => self.decided.last().map_or(START_MS, |block| block.time_ms),
        };
    }

    /// A proposer that is not honest: besides good transactions one that nobody pays for. Nobody votes for its block.
    fn propose_dishonestly(&mut self, voters: &[usize]) {
        let taken = self.random.below(self.pool.len() as u64 + 1) as usize;
        let mut txs = self.pool[..taken].to_vec();
        let old: Vec<_> = self.decided.iter().flat_map(|block| block.txs.clone()).collect();
        let account = self.random.pick(&self.accounts).expect("there are accounts");
        let (hostile, what) = match self.random.pick(&old) {
            Some(old) if self.random.one_in(4) => (old, "a transaction of an earlier block"),
            _ => hostile_transaction(&account, CHAIN_ID, &mut self.random),
        };
        let at = self.random.below(taken as u64 + 1) as usize;
        txs.insert(at, hostile);
        for voter in voters {
            assert!(!self.accepts(*voter, &txs), "validator {voter} took a block with {what}");
        }
        self.counts.dishonest += 1;
    }

    /// Returns `true` if a validator would vote for a block.
    fn accepts(&self, voter: usize, txs: &[Vec<u8>]) -> bool {
        let Some(app) = self.validators[voter].app() else { return false };
        let txs = txs.iter().cloned().map(Into::into).collect();
        let request = RequestProcessProposal { txs, ..Default::default() };
        app.process_proposal(request).status == i32::from(ProposalStatus::Accept)
    }

    /// Lets a validator do its next step, if there is a block for it.
    fn advance(&mut self, index: usize) {
        let height = self.validators[index].height();
        let Some(block) = self.decided.get(height).cloned() else { return };
        // The process ends between its last act and the answer.
        if self.random.one_in(40) && self.validators[index].commit_unheard() == Ok(true) {
            return self.crash(index);
        }
        if self.validators[index].step(&block).is_err() {
            self.counts.in_operation += 1;
            return self.crash(index);
        }
        if let Some(results) = self.validators[index].finalized().cloned() {
            self.compare(height, index, &results);
        }
    }

    /// Notes the app hash of whoever executes a block first, and asserts that all others agree.
    fn compare(&mut self, height: usize, index: usize, results: &ResponseFinalizeBlock) {
        let codes: Vec<u32> = results.tx_results.iter().map(|result| result.code).collect();
        let block = &mut self.decided[height];
        match &block.app_hash {
            None => (block.app_hash, block.codes) = (Some(results.app_hash.to_vec()), codes),
            Some(hash) => {
                let name = format!("validator {index} at height {}", height + 1);
                assert_eq!(*hash, results.app_hash.to_vec(), "app hash of {name}");
                assert_eq!(block.codes, codes, "results of {name}");
            }
        }
    }

    fn crash(&mut self, index: usize) {
        self.counts.crashes += 1;
        self.validators[index].crash(&mut self.random);
    }

    /// Lets the disk fail within the next operations: often at the end of a commit, where the block is on disk or not.
    fn arm(&mut self, index: usize) {
        if self.validators[index].is_up() {
            let commit = self.validators[index].commit_operations();
            let operations = match self.random.one_in(3) {
                true => commit.saturating_sub(self.random.below(4)),
                false => self.random.below(commit + 10),
            };
            self.validators[index].disk().fail_after(operations);
        }
    }

    fn start(&mut self, index: usize) {
        if self.validators[index].is_up() {
            return;
        }
        if self.random.one_in(4) {
            let operations = self.random.below(12);
            self.validators[index].disk().fail_after(operations);
        }
        let before = self.validators[index].height();
        let started = self.validators[index].start(&self.decided, &self.genesis);
        if started.is_err() {
            self.counts.at_start += 1;
            return self.crash(index);
        }
        if self.validators[index].height() > before {
            self.counts.unacknowledged += 1;
        }
        self.validators[index].disk().fail_after(u64::MAX);
    }
}

impl std::ops::Add for Counts {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            crashes: self.crashes + other.crashes,
            in_operation: self.in_operation + other.in_operation,
            at_start: self.at_start + other.at_start,
            unacknowledged: self.unacknowledged + other.unacknowledged,
            accepted: self.accepted + other.accepted,
            refused: self.refused + other.refused,
            dishonest: self.dishonest + other.dishonest,
        }
    }
}
