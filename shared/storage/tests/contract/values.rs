//! Every type goes in and comes out the same on both databases.

use attune_storage::{Error, Insert, Kind, Tx, Value, args};
use bytes::Bytes;
use proptest::{prelude::*, strategy::ValueTree as _, test_runner::TestRunner};
use serde_json::json;

use crate::{Opened, on_both};

type Everything = (
    Option<i64>,
    Option<f64>,
    Option<bool>,
    Option<String>,
    Option<Bytes>,
    Option<serde_json::Value>,
);

const INSERT: &str = "insert into everything (id, whole, real, truth, words, raw, document) \
     values ($1, $2, $3, $4, $5, $6, $7)";
const SELECT: &str = "select whole, real, truth, words, raw, document from everything order by id";
const MANY: Insert = Insert {
    table: "everything",
    columns: &[
        ("id", Kind::Int),
        ("whole", Kind::Int),
        ("real", Kind::Real),
        ("truth", Kind::Bool),
        ("words", Kind::Text),
        ("raw", Kind::Bytes),
        ("document", Kind::Json),
    ],
    tail: "",
};

fn json_values() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(|v| json!(v)),
        any::<i32>().prop_map(|v| json!(v)),
        "[^\0]{0,8}".prop_map(|v| json!(v)),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(|v| json!(v)),
            proptest::collection::btree_map("[a-z]{1,4}", inner, 0..4).prop_map(|v| json!(v)),
        ]
    })
}

fn everything() -> impl Strategy<Value = Everything> {
    (
        any::<Option<i64>>(),
        proptest::option::of(-1e12..1e12),
        any::<Option<bool>>(),
        proptest::option::of("[^\0]{0,12}"),
        proptest::option::of(proptest::collection::vec(any::<u8>(), 0..16).prop_map(Bytes::from)),
        // A bare JSON null is a null to SQLite's readers of text and to nobody else.
        proptest::option::of(json_values().prop_filter("null", |v| !v.is_null())),
    )
}

fn row(id: i64, (whole, real, truth, words, raw, document): Everything) -> Vec<Value> {
    args![id, whole, real, truth, words, raw, document]
}

async fn read_all(opened: &Opened) -> Result<Vec<Everything>, Error> {
    let rows = opened.database.fetch_all(SELECT, args![]).await?;
    rows.iter()
        .map(|row| {
            Ok((
                row.get(0)?,
                row.get(1)?,
                row.get(2)?,
                row.get(3)?,
                row.get(4)?,
                row.get(5)?,
            ))
        })
        .collect()
}

#[tokio::test]
async fn values_come_back_as_they_went_in() {
    on_both("values", async |opened: Opened| {
        let mut runner = TestRunner::deterministic();
        let strategy = proptest::collection::vec(everything(), 300);
        let expected = strategy.new_tree(&mut runner).unwrap().current();
        let singly: Vec<_> = (0..)
            .zip(expected.clone())
            .map(|(id, v)| row(id, v))
            .collect();
        let at_once: Vec<_> = (1_000..)
            .zip(expected.clone())
            .map(|(id, v)| row(id, v))
            .collect();
        let written: Result<(), Error> = opened
            .database
            .write(move |tx: &mut Tx| {
                let (singly, at_once) = (singly.clone(), at_once.clone());
                Box::pin(async move {
                    for row in singly {
                        tx.execute(INSERT, row).await?;
                    }
                    tx.insert_many(&MANY, at_once).await.map(drop)
                })
            })
            .await;
        written.unwrap();
        let twice = [expected.clone(), expected].concat();
        assert_eq!(read_all(&opened).await.unwrap(), twice);
    })
    .await;
}

#[tokio::test]
async fn lists_and_sums_mean_the_same() {
    on_both("lists", async |opened: Opened| {
        let written: Result<u64, Error> = opened
            .database
            .write(|tx: &mut Tx| {
                let rows = (0..10)
                    .map(|i| row(i, (Some(i), None, None, Some(format!("w{i}")), None, None)));
                Box::pin(tx.insert_many(&MANY, rows.collect()))
            })
            .await;
        assert_eq!(written.unwrap(), 10);
        let check = |sql: &'static str, args: Vec<Value>, expected: Option<i64>| {
            let database = opened.database.clone();
            async move {
                let rows = database.fetch_all(sql, args).await.unwrap();
                assert_eq!(rows[0].get::<Option<i64>>(0).unwrap(), expected, "{sql}");
            }
        };
        let words: Vec<String> = ["w3", "w5", "none"].map(String::from).to_vec();
        let by_words = "select sum(whole) from everything where words in list($1)";
        check(by_words, args![words], Some(8)).await;
        check(by_words, args![Vec::<String>::new()], None).await;
        let by_ids = "select sum(whole) from everything where id in list($1) and whole < $2";
        check(by_ids, args![vec![1_i64, 2, 9], 9_i64], Some(3)).await;
    })
    .await;
}

#[tokio::test]
async fn a_column_of_another_type_is_an_error_that_names_it() {
    on_both("columns", async |opened: Opened| {
        let rows = opened
            .database
            .fetch_all("select 'text'", args![])
            .await
            .unwrap();
        let error = rows[0].get::<i64>(0).unwrap_err();
        assert!(matches!(
            error,
            Error::Column {
                index: 0,
                expected: "an integer",
                ..
            }
        ));
    })
    .await;
}
