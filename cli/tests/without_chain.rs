//! Vats by their files, their parameters and their timer in `capstan run` and `capstan shell`.
#![allow(clippy::unwrap_used, clippy::expect_used)] // tests

mod common;

use std::fs;
use std::io::Write as _;
use std::process::Stdio;

use common::{Done, Place, done};
use serde_json::{Value, json};

/// A vat that shows its parameters, and waits.
const VAT: &str = "
import { E, Far } from '@endo/far';
export const buildRootObject = (_powers, parameters) => Far('vat', {
  parameters: () => harden(parameters),
  wait: async (timer, seconds) => {
    const { absValue } = await E(timer).delay(seconds);
    return absValue;
  },
});
";

/// A bootstrap that asks the vat `it` for the method in argv.
const BOOTSTRAP: &str = "
import { E, Far } from '@endo/far';
export const buildRootObject = () => Far('root', {
  bootstrap: ([method, ...args], { it, timer }, devices) => {
    const service = timer && E(timer).createTimerService(devices.timer);
    return E(it)[method](service, ...args.map(BigInt));
  },
});
";

/// A place with the two sources in folders of their own.
fn place() -> Place {
    let place = Place::new();
    for (folder, file, source) in [("src", "vat.js", VAT), ("test", "bootstrap.js", BOOTSTRAP)] {
        fs::create_dir(place.path().join(folder)).unwrap();
        fs::write(place.path().join(folder).join(file), source).unwrap();
    }
    place
}

fn shell(place: &Place, args: &[&str], script: &str) -> Done {
    let mut child = place.command(args).stdin(Stdio::piped()).spawn().unwrap();
    // The shell may end before it has read everything.
    let _ = child.stdin.take().unwrap().write_all(script.as_bytes());
    done(child.wait_with_output().unwrap())
}

#[test]
fn a_vat_stands_anywhere_and_gets_parameters_in_the_notation() {
    let place = place();
    let params = r#"it={"start":7n,"who":"Ada","none":undefined,"list":[1,-2n]}"#;
    let args = ["run", "test", "--vat", "it=src/vat.js", "--params", params, "--json"];
    let done = place.run(&[&args[..], &["--", "parameters"]].concat());
    let expected = json!({
        "list": [1, {"@bigint": "-2"}], "none": null,
        "start": {"@bigint": "7"}, "who": "Ada",
    });
    assert_eq!(done.json()["bootstrap"]["value"], expected, "{done:?}");
    // The same from another directory, where the path is another one.
    let mut command = place.command(&["shell", "--vat", "it=vat.js", "--params", "it=[1]"]);
    let child = command.current_dir(place.path().join("src")).stdin(Stdio::piped()).spawn();
    let mut child = child.unwrap();
    child.stdin.take().unwrap().write_all(b"E(it).parameters()\n").unwrap();
    let done = common::done(child.wait_with_output().unwrap());
    assert_eq!((done.code, done.stdout.as_str()), (0, "[ 1 ]\n"), "{done:?}");
}

#[test]
fn a_bundle_is_taken_as_it_would_be_installed() {
    let place = place();
    place.run(&["bundle", "src/vat.js", "-o", "vat.json"]).assert_failed(0, "");
    let args = ["shell", "--vat", "it=vat.json", "--vat", "same=src/vat.js", "--json"];
    let done = shell(&place, &args, "expect(E(it).parameters(), E(same).parameters())\n");
    assert_eq!(done.code, 0, "{done:?}");
}

#[test]
fn a_fake_timer_moves_when_it_is_told_and_every_run_comes_to_the_same() {
    let place = place();
    let args = ["run", "test", "--vat", "it=src/vat.js", "--timer", "fake", "--time", "1000"];
    let run = |more: &[&str]| place.run(&[&args[..], more, &["--", "wait", "60"]].concat());
    run(&["--advance", "59"]).assert_failed(1, "a vat waits for 1060");
    let first = run(&["--advance", "20x3", "--json"]).json();
    assert_eq!(first["bootstrap"]["value"], json!({"@bigint": "1060"}), "{first}");
    assert_eq!((&first["time"], &first["next_wakeup"]), (&json!(1060), &Value::Null));
    assert_eq!(run(&["--advance", "20x3", "--json"]).json(), first);
    run(&["--timer", "real"]).assert_failed(2, "cannot be used multiple times");
}

#[test]
fn a_shell_waits_for_a_fake_timer_by_hand_and_for_a_real_one_by_itself() {
    let place = place();
    let fake = ["shell", "--vat", "it=src/vat.js", "--timer", "fake"];
    let script = "const due = E(it).wait(timer, 60n)\nadvance(30, 2)\nexpect(due, 60n)\n";
    let done = shell(&place, &fake, script);
    assert_eq!(done.code, 0, "{done:?}");
    assert!(done.stdout.contains("the time is 60"), "{done:?}");
    shell(&place, &fake, "E(it).wait(timer, 5n)\n").assert_failed(1, "a vat waits for 5");
    let wrong = script.replace("60n)\nadvance", "61n)\nadvance");
    shell(&place, &fake, &wrong).assert_failed(1, "line 3: ");

    let real = ["shell", "--vat", "it=src/vat.js", "--timer", "real"];
    let done = shell(&place, &real, "(await E(it).wait(timer, 1n)) > 1700000000n\n");
    assert_eq!((done.code, done.stdout.as_str()), (0, "true\n"), "{done:?}");
    shell(&place, &real, "advance(1)\n").assert_failed(1, "only a fake timer can be advanced");
}

#[test]
fn a_home_keeps_the_time_and_belongs_to_its_parameters_and_timer() {
    let place = place();
    let args = ["shell", "--vat", "it=src/vat.js", "--home", "kept"];
    let with = |more: &[&'static str]| [&args[..], more].concat();
    let fake = with(&["--timer", "fake", "--params", "it=[1]"]);
    let begun = shell(&place, &fake, "const due = E(it).wait(timer, 9n)\nadvance(4)\n");
    assert_eq!(begun.code, 0, "{begun:?}");
    let gone_on = shell(&place, &fake, "advance(5)\nexpect(due, 9n)\n");
    assert_eq!(gone_on.code, 0, "{gone_on:?}");
    let other = with(&["--timer", "fake", "--params", "it=[2]"]);
    shell(&place, &other, "").assert_failed(1, "with other --params");
    let without = with(&["--params", "it=[1]"]);
    shell(&place, &without, "").assert_failed(1, "with another --timer");
}

#[test]
fn equal_means_equal_to_the_last_item() {
    let place = place();
    let args = ["shell", "--vat", "it=src/vat.js"];
    let equal = "expect({ a: 1n, b: [undefined] }, { b: [undefined], a: 1n })\n";
    assert_eq!(shell(&place, &args, equal).code, 0);
    let deep = |last: &str| format!("[[[[[[{last}]]]]]]");
    for (found, wanted) in [
        ("1", "1n"),
        ("'1'", "1"),
        ("undefined", "null"),
        (&deep("1"), &deep("2")),
        ("Array(200).fill(1)", "Array(200).fill(1).concat(2)"),
        ("Promise.resolve(1)", "2"),
    ] {
        let script = format!("expect({found}, {wanted})\n");
        shell(&place, &args, &script).assert_failed(1, "line 1: Error: expected ");
    }
}

#[test]
fn what_cannot_be_run_is_refused_with_what_is_wrong() {
    let place = place();
    fs::write(place.path().join("test/vat-timer.js"), VAT).unwrap();
    for (args, code, part) in [
        (&["run"][..], 2, "nothing to start: name a BASEDIR"),
        (&["shell"], 2, "nothing to start: name a BASEDIR"),
        (&["run", "--vat", "it=src/vat.js"], 2, "--vat bootstrap=FILE"),
        (&["shell", "--vat", "src/vat.js"], 2, "write the vat's name"),
        (&["shell", "--vat", "a b=src/vat.js"], 2, "letters, digits, _ or -"),
        (&["shell", "--vat", "vatAdmin=src/vat.js"], 2, "is the system's"),
        (&["shell", "test", "--timer", "fake"], 2, "with --timer the name timer"),
        (&["shell", "--vat", "it=nowhere.js"], 1, "cannot read nowhere.js"),
        (&["shell", "test", "--vat", "timer=src/vat.js"], 2, "of this name already"),
        (&["shell", "--vat", "it=src/vat.js", "--params", "at=1"], 2, "no vat has this name"),
        (&["shell", "--vat", "it=src/vat.js", "--params", "it=[1"], 2, "--params it: character 3"),
        (&["shell", "--vat", "it=src/vat.js", "--params", "it=@ro-1"], 2, "without a chain"),
        (&["shell", "--vat", "it=src/vat.js", "--params", "[@other]"], 2, "there are it"),
        (
            &["shell", "--vat", "it=src/vat.js", "--bundle", "it=src/vat.js"],
            2,
            "a vat of this name",
        ),
        (
            &["run", "test", "--vat", "it=src/vat.js", "--vat", "o=src/vat.js", "--params", "5n"],
            2,
            "--params NAME=5n",
        ),
        (&["run", "test", "--advance", "1"], 2, "--timer"),
        (&["run", "test", "--timer", "real", "--advance", "1"], 2, "use --timer fake"),
        (&["run", "test", "--timer", "real", "--time", "1"], 2, "use --timer fake"),
        (&["run", "test", "--timer", "fake", "--advance", "1m"], 2, "60x5"),
    ] {
        place.run(args).assert_failed(code, part);
    }
}

#[test]
fn a_source_is_no_bundle_and_a_bundle_goes_where_it_can_be_written() {
    let place = place();
    let bundle = |output| place.run(&["bundle", "src/vat.js", "-o", output]);
    bundle("nowhere/vat.json")
        .assert_failed(2, "-o nowhere/vat.json: there is no directory nowhere");
    bundle("src").assert_failed(2, "-o src is a directory");
    bundle("test/../src/vat.js").assert_failed(2, "is the source; name another file");
    assert_eq!(fs::read_to_string(place.path().join("src/vat.js")).unwrap(), VAT);
    fs::write(place.path().join("src/other.json"), VAT).unwrap();
    for (file, code, problem) in [
        (
            "src/vat.js",
            2,
            "bundle it first: capstan bundle src/vat.js -o src/vat.json, then name src/vat.json",
        ),
        ("src/other.json", 1, "not a bundle: "),
    ] {
        for command in
            [&["install-bundle", file][..], &["create-vat", file], &["upgrade-vat", "ro-1", file]]
        {
            let args = [&["tx"], command, &["--from", "alice"]].concat();
            place.run(&args).assert_failed(code, problem);
        }
    }
}

#[test]
fn parameters_hold_the_roots_of_other_vats() {
    let place = place();
    fs::write(
        place.path().join("src/asker.js"),
        "import { E, Far } from '@endo/far';
         export const buildRootObject = (_powers, { other, list: [again] }) => Far('asker', {
           ask: () => E(other).parameters(),
           same: () => other === again,
         });",
    )
    .unwrap();
    let vats = ["shell", "--vat", "asker=src/asker.js", "--vat", "my_vat=src/vat.js"];
    let params =
        ["--params", r#"asker={"other":@my_vat,"list":[@my_vat]}"#, "--params", "my_vat=5n"];
    let script = "expect(E(asker).ask(), 5n)\nexpect(E(asker).same(), true)\n";
    assert_eq!(shell(&place, &[&vats[..], &params].concat(), script).code, 0);
    // A value alone is for the only vat.
    let args = ["shell", "--vat", "it=src/vat.js", "--params", "-5n"];
    assert_eq!(shell(&place, &args, "expect(E(it).parameters(), -5n)\n").code, 0);
}

/// Writes a second version of the vat, and one that does not start.
fn write_versions(place: &Place) {
    let second = VAT.replace("harden(parameters)", "harden({ second: parameters })");
    fs::write(place.path().join("src/second.js"), second).unwrap();
    let broken = VAT.replace("=> Far", "=> assert.fail('no lease') || Far");
    fs::write(place.path().join("src/broken.js"), broken).unwrap();
}

#[test]
fn a_shell_upgrades_vats_to_bundles_that_it_only_names() {
    let place = place();
    write_versions(&place);
    let args = [
        &["shell", "--vat", "it=src/vat.js", "--params", "[1]"][..],
        &["--bundle", "second=src/second.js", "--bundle", "broken=src/broken.js"],
    ]
    .concat();
    let script = "\
        expect(upgrade(it, 'broken').catch(e => e.message), 'vat-upgrade failure')\n\
        expect(E(it).parameters(), [1])\n\
        expect(upgrade('it', 'second'), { incarnationNumber: 1 })\n\
        expect(E(it).parameters(), { second: [1] })\n\
        upgrade(it, 'second', [2n])\n\
        expect(E(it).parameters(), { second: [2n] })\n\
        expect(upgrade('other', 'second').catch(e => e.message), 'upgrade: there is no vat \"other\"; there are it')\n\
        upgrade(it, 'third')\n";
    let done = shell(&place, &args, script);
    done.assert_failed(1, "line 8: ");
    let why = "see logs for details: the device vatAdmin refused getBundleIDByName(): unregistered bundle name 'third'";
    done.assert_failed(1, why);
    assert!(done.stdout.contains("the upgrade failed and is undone"), "{done:?}");
    assert!(done.stdout.contains("no lease"), "{done:?}");
}

#[test]
fn a_run_makes_vats_of_bundles_and_upgrades_them() {
    let place = place();
    write_versions(&place);
    let bootstrap = "
        import { E, Far } from '@endo/far';
        export const buildRootObject = () => Far('root', {
          bootstrap: async ([last], { vatAdmin }, devices) => {
            const service = await E(vatAdmin).createVatAdminService(devices.vatAdmin);
            const { adminNode, root } = await E(service).createVatByName('first', { vatParameters: [1] });
            const seen = [await E(root).parameters()];
            const upgrade = async (name, options) => {
              await E(adminNode).upgrade(await E(service).getNamedBundleCap(name), options);
              seen.push(await E(root).parameters());
            };
            await upgrade('second', { vatParameters: [2] });
            await upgrade(last, {});
            return harden(seen);
          },
        });";
    fs::write(place.path().join("test/bootstrap.js"), bootstrap).unwrap();
    let args = ["run", "test", "--bundle", "first=src/vat.js", "--bundle", "second=src/second.js"];
    let run = |last: &str| place.run(&[&args[..], &["--", last]].concat());
    let done = run("second");
    assert_eq!(done.code, 0, "{done:?}");
    let last = done.stdout.lines().last().unwrap();
    assert_eq!(last, r#"bootstrap fulfilled: [[1],{"second":[2]},{"second":undefined}]"#);
    run("third").assert_failed(1, "refused getNamedBundleCap(): unregistered bundle name 'third'");
}

#[test]
fn a_rejection_that_nobody_handles_fails_a_run() {
    let place = place();
    let bootstrap = "
        import { Far } from '@endo/far';
        export const buildRootObject = () => Far('root', {
          bootstrap: ([count]) => {
            for (let n = 0; n < Number(count); n += 1) Promise.reject(Error(`lost ${n}`));
            return 'done';
          },
        });";
    fs::write(place.path().join("test/bootstrap.js"), bootstrap).unwrap();
    let run = |count: &str| place.run(&["run", "test", "--", count]);
    let done = run("0");
    assert_eq!((done.code, done.stdout.as_str()), (0, "bootstrap fulfilled: \"done\"\n"));
    let done = run("1");
    done.assert_failed(1, "a rejection was not handled, in vat v2 (bootstrap): Error#1: lost 0");
    assert!(done.stdout.contains("bootstrap fulfilled: \"done\""), "{done:?}");
    run("2").assert_failed(1, "2 rejections were not handled; the first, in vat");
    let done = place.run(&["run", "test", "--json", "--", "1"]);
    let record: Value = serde_json::from_str(done.stdout.trim_end()).unwrap();
    let unhandled = &record["unhandled_rejections"][0];
    assert_eq!((done.code, &unhandled["vat"]), (1, &json!("v2 (bootstrap)")), "{done:?}");
}
