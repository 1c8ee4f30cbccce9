use super::*;

#[test]
fn names_are_what_the_collector_makes_of_them() {
    let cases = [
        ("", "postgresql.backends", "1", Shape::Sum, "postgresql_backends"),
        ("", "postgresql.backends", "", Shape::Gauge, "postgresql_backends"),
        ("db_intelligence", "postgresql.db_size", "By", Shape::Gauge, "db_intelligence_postgresql_db_size_bytes"),
        ("", "postgresql.commits", "1", Shape::Counter, "postgresql_commits_total"),
        ("", "postgresql.bgwriter.duration", "ms", Shape::Counter, "postgresql_bgwriter_duration_milliseconds_total"),
        ("", "postgresql.blks_hit", "{blks_hit}", Shape::Counter, "postgresql_blks_hit_total"),
        ("", "postgresql.wal.age", "s", Shape::Gauge, "postgresql_wal_age_seconds"),
        ("", "process.size.bytes", "By", Shape::Gauge, "process_size_bytes"),
        ("", "cache.hit", "1", Shape::Gauge, "cache_hit_ratio"),
        ("", "disk.io", "By/s", Shape::Gauge, "disk_io_bytes_per_second"),
        ("", "requests.total", "1", Shape::Counter, "requests_total"),
        ("", "7.eleven--x", "", Shape::Gauge, "_7_eleven_x"),
        ("", "größe", "", Shape::Gauge, "gr_e"),
        ("", "cpu", "%", Shape::Gauge, "cpu_percent"),
        ("", "öß", "By", Shape::Counter, ""),
        ("db_intelligence", "", "", Shape::Gauge, ""),
    ];
    for (namespace, name, unit, kind, expected) in cases {
        assert_eq!(metric_name(namespace, name, unit, kind), expected);
    }
}

#[test]
fn label_names_are_valid() {
    let cases = [
        ("db.namespace", "db_namespace"),
        ("ok_1", "ok_1"),
        ("1st", "key_1st"),
        ("__name__", "name__"),
        ("", "key_"),
        ("__", "key_"),
        ("größe", "gr__e"),
    ];
    for (name, expected) in cases {
        assert_eq!(label_name(name), expected, "{name}");
    }
}

#[test]
fn labels_are_sorted_escaped_and_never_there_twice() {
    let mut labels = Labels::ours(&[("target", "a\"b\\c\nd"), ("database", "")]);
    labels.add("b.c", "1");
    labels.add("b_c", "2");
    labels.add("empty", "");
    let expected = r#"b_c="1;2",target="a\"b\\c\nd""#;
    assert_eq!(&*labels.finish(), expected);
}

#[test]
fn a_foreign_label_takes_no_name_of_ours_and_none_of_a_constant_label() {
    let const_labels = ["environment", "exported_role"].map(|name| (name.to_owned(), "test".to_owned())).into();
    let mut labels = Labels::ours(&[("target", "a"), ("role", "")]);
    for name in ["target", "role", "environment", "database"] {
        labels.add_foreign(name, "foreign", &const_labels);
    }
    let expected = "database=\"foreign\",exported_environment=\"foreign\",exported_exported_role=\"foreign\",\
                    exported_target=\"foreign\",target=\"a\"";
    assert_eq!(&*labels.finish(), expected);
}
