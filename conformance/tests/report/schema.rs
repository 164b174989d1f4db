// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The JSON form: its schema, and texts that are refused.

use std::collections::BTreeSet;

use igd_conformance::report::{Report, SCHEMA, Status, Trial, json, sample};
use serde_json::Value;

use crate::samples::{STATUSES, complete, hostile};

pub(crate) fn validator() -> (Value, jsonschema::Validator) {
    let schema: Value = serde_json::from_str(include_str!(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/schema/report-v1.json"
    )))
    .unwrap();
    assert!(jsonschema::draft202012::meta::is_valid(&schema));
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    (schema, validator)
}

#[test]
fn reports_follow_the_schema() {
    let (_, validator) = validator();
    for report in [sample::mixed(), sample::green(), complete(), hostile()] {
        let text = json::to_string(&report).unwrap();
        if let Err(error) = validator.validate(&serde_json::from_str(&text).unwrap()) {
            panic!("{}: {error}", error.instance_path());
        }
        assert_eq!(json::parse(text.as_bytes()).unwrap(), report);
    }
}

#[test]
fn the_schema_names_the_fields_that_reports_have() {
    let (schema, validator) = validator();
    let report = serde_json::to_value(complete()).unwrap();
    validator.validate(&report).unwrap();
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
    for (definition, instance) in [
        ("", ""),
        ("/$defs/subject", "/subject"),
        ("/$defs/host", "/host"),
        ("/$defs/trial", "/trials/0"),
        ("/$defs/failure", "/trials/0/failure"),
    ] {
        let definition = schema.pointer(definition).unwrap();
        let fields = keys(report.pointer(instance).unwrap());
        assert_eq!(keys(&definition["properties"]), fields, "{instance}");
        assert_eq!(definition["additionalProperties"], false, "{instance}");

        let required: BTreeSet<String> = definition["required"]
            .as_array()
            .unwrap()
            .iter()
            .map(|key| key.as_str().unwrap().to_owned())
            .collect();
        for field in &fields {
            let mut less = report.clone();
            less.pointer_mut(instance)
                .unwrap()
                .as_object_mut()
                .unwrap()
                .remove(field);
            let text = less.to_string();
            // The sample trial is an xfail, which needs its reason.
            let needed = required.contains(field) || field == "reason";
            assert_eq!(validator.is_valid(&less), !needed, "{instance}/{field}");
            assert_eq!(json::parse(text.as_bytes()).is_ok(), !needed, "{instance}/{field}");
        }
        let mut more = report.clone();
        more.pointer_mut(instance).unwrap()["unknown"] = Value::Null;
        assert!(!validator.is_valid(&more), "{instance}");
        let error = json::parse(more.to_string().as_bytes()).unwrap_err().to_string();
        assert!(
            error.contains("unknown field `unknown`") && error.contains(" at line 1 column "),
            "{error}"
        );
    }
    for status in STATUSES {
        let status = serde_json::to_value(status).unwrap();
        assert!(schema["$defs"]["status"]["enum"].as_array().unwrap().contains(&status));
    }
}

#[test]
fn contradictions_are_refused_by_parser_and_schema() {
    let (_, validator) = validator();
    type Change = fn(&mut Report);
    let cases: [(&str, Change, bool); 12] = [
        ("shard is \"0/2\"", |r| r.shard = Some("0/2".into()), true),
        ("shard is \"a\"", |r| r.shard = Some("a".into()), true),
        ("shard is \"3/2\"", |r| r.shard = Some("3/2".into()), false),
        ("no name", |r| r.trials[0].trace.clear(), true),
        ("no label", |r| r.trials[0].section.clear(), true),
        ("pass with 1 differences", |r| r.trials[0].status = Status::Pass, true),
        ("xpass with 1 differences", |r| r.trials[0].status = Status::Xpass, true),
        (
            "xpass with a failure",
            |r| (r.trials[0].status, r.trials[0].differences) = (Status::Xpass, 0),
            true,
        ),
        (
            "skip with a failure",
            |r| (r.trials[0].status, r.trials[0].differences) = (Status::Skip, 0),
            true,
        ),
        (
            "fail without a failure",
            |r| (r.trials[0].status, r.trials[0].failure) = (Status::Fail, None),
            true,
        ),
        (
            "error without a reason",
            |r| (r.trials[0].status, r.trials[0].reason) = (Status::Error, None),
            true,
        ),
        (
            "trial 2 (a/b a.rule): not next to",
            |r| {
                let trial = r.trials[0].clone();
                r.trials = vec![
                    trial.clone(),
                    Trial {
                        trace: "a/c".into(),
                        ..trial.clone()
                    },
                    trial,
                ];
            },
            false,
        ),
    ];
    for (message, change, in_schema) in cases {
        let mut report = complete();
        change(&mut report);
        let value = serde_json::to_value(&report).unwrap();
        let error = json::parse(value.to_string().as_bytes()).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
        assert_eq!(!validator.is_valid(&value), in_schema, "{message}");
    }
}

#[test]
fn other_texts_are_refused_in_one_line() {
    let other = serde_json::to_value(Report {
        schema: "igd-conformance/report/2\n".to_owned(),
        ..complete()
    })
    .unwrap();
    let error = json::parse(other.to_string().as_bytes()).unwrap_err().to_string();
    assert_eq!(
        error,
        r#"schema is "igd-conformance/report/2\u{a}", expected "igd-conformance/report/1""#
    );

    let good = json::to_string(&complete()).unwrap();
    let deep = format!("{{\"schema\":{}", "[".repeat(1 << 20));
    let twice = good.replacen('{', &format!("{{\"schema\": \"{SCHEMA}\","), 1);
    let texts: [(&[u8], &str); 9] = [
        (b"", "line 1 column 0"),
        (b"{}", "missing field `schema` at line 1 column 2"),
        (b"{\"schema\": 1}", "line 1 column 12"),
        (b"[[[[", "line 1 column"),
        (b"\xff\xfe{}", "line 1 column 1"),
        (deep.as_bytes(), "line 1 column"),
        (twice.as_bytes(), "duplicate field `schema`"),
        (&good.as_bytes()[..good.len() / 2], "line "),
        (
            b"{\"schema\": \"igd-conformance/report/1\", \"\\n\\u001b[2J\": 0}",
            "\\u{1b}[2J",
        ),
    ];
    for (text, message) in texts {
        let error = json::parse(text).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
        assert!(!error.contains(char::is_control) && error.len() < 1_000, "{error}");
    }
    let trailing = format!("{good}{good}");
    assert!(json::parse(trailing.as_bytes()).is_err());
    for (from, to) in [
        ("\"accesses\": 2", "\"accesses\": -2"),
        ("\"accesses\": 2", "\"accesses\": 18446744073709551616"),
    ] {
        assert!(json::parse(good.replace(from, to).as_bytes()).is_err());
    }
}
