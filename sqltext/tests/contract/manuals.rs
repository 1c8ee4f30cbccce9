//! The judge itself, against examples of the manuals.

use crate::checker::{Reading, read};

#[test]
fn reads_as_the_manuals_say() {
    let shown = |text: &str, reading| {
        let seen = read(text.as_bytes(), reading);
        seen.code.iter().map(|&(from, to)| &text[from..to]).collect::<Vec<_>>().join(" ")
    };
    let pg = Reading::STANDARD;
    assert_eq!(shown(r"a '\' b 'c' /* d /* e */ f */ g -- h", pg), "a b g");
    assert_eq!(shown(r"a E'\' b' c $x$ d $y$ e $x$ f$1 1e5g 1_0.5 .5 $1", pg), "a E c f$1 g");
    assert_eq!(shown("'a'\n -- b\n 'c' 'd' \"e\"", pg), "\"e\"");
    assert_eq!(shown("copy t from stdin;\nx\ty\n\\.\nselect z", pg), "copy t from stdin select z");
    assert_eq!(shown(r"a '\' b 'c'", Reading::OLD_STRINGS), "a c");
    let [runs, skips] = Reading::mysql(false, false);
    assert_eq!(
        shown("a \"b\" `c` d--e -- f\n g#h\n 1foo 1e5 0x1f 0x1g t.5 .5 x'6'", runs),
        "a `c` d e g 1foo 0x1g t .5 x"
    );
    assert_eq!(shown("/*!50000 a 'b' */ c", runs), "a c");
    assert_eq!(shown("/*!50000 a ' */ c '", skips), "a c");
    assert_eq!(shown("/*!50000 a ' */ c '", runs), "a");
    assert!(read(b"a 'b", pg).open && read(b"/*! a", runs).open && !read(b"a 'b'", pg).open);
}
