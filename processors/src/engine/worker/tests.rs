use super::*;

#[test]
fn processes_take_turns_in_the_order_of_their_workers() {
    let mut slots = [("b", 0), ("a", 1), ("a", 0), ("b", 1)].map(|(process, number)| slot(number, process));
    slots.sort();
    assert_eq!(slots, ["0-a", "0-b", "1-a", "1-b"]);
}
