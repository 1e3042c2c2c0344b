//! Tests of what an isolate knows: reads of the feed, and when its data is dropped.

use shared::contract::refusal::TokenFault;

use super::*;
use crate::isolate::opened::tests::known;

const NONE: Denials<'_> = Denials { rows: &[], crowded: false };

fn read<'a>(shard: &'a ShardRow, rows: &'a [FeedRow]) -> FeedRead<'a> {
    FeedRead { shard, rows, beyond: &[] }
}

fn shard(incarnation: &str, head: i64, oldest: Option<i64>) -> ShardRow {
    ShardRow { incarnation: incarnation.into(), head, oldest }
}

fn user_row(
    seq: i64,
    known: &OpenedTenant,
    user: UserId,
    status: &str,
    access: i64,
    password: i64,
) -> FeedRow {
    FeedRow {
        seq,
        kind: Kind::User,
        tenant: known.tenant.id.to_string(),
        subject: user.to_string(),
        history: None,
        rev: None,
        status: serde_json::from_value(status.into()).unwrap(),
        access_epoch: Some(access),
        password_epoch: Some(password),
    }
}

fn met() -> (ShardCache, Rc<OpenedTenant>) {
    let known = Rc::new(known());
    let mut cache = ShardCache::default();
    assert!(cache.add_tenant(10_000, &shard("a", 5, Some(1)), known.clone(), NONE));
    (cache, known)
}

#[test]
fn ages_decide() {
    let (mut cache, _) = met();
    assert!(!ShardCache::default().may_serve(10_000));
    assert!(cache.may_serve(10_999));
    assert!(!cache.take_refresh(10_999), "what is known is young");
    assert!(cache.may_serve(11_000));
    assert!(cache.take_refresh(11_000));
    assert!(!cache.take_refresh(11_999), "another request holds the lease");
    assert!(cache.take_refresh(12_000), "the lease ran out");
    assert!(cache.may_serve(13_000));
    assert!(!cache.may_serve(13_001));
    cache.apply(13_001, read(&shard("a", 5, Some(1)), &[]));
    assert!(!cache.take_refresh(13_002), "it was read");
}

#[test]
fn denials_choose_the_recorded_words() {
    let (mut cache, known) = met();
    let (user, sid) = (UserId::new(1, [1; 10]), SessionId::new(0, [1; 16]));
    let mut judge = |status: &str, access, password, epoch| {
        let rows = [user_row(6, &known, user, status, access, password)];
        cache.apply(10_500, read(&shard("a", 6, Some(1)), &rows));
        cache.cursor = 5;
        match cache.judge(known.tenant.id, user, sid, epoch).unwrap() {
            Judgement::Good => Ok(()),
            Judgement::Denied(fault) => Err(fault),
            Judgement::AskStorage => panic!("the tenant is not crowded"),
        }
    };
    assert_eq!(judge("active", 3, 0, 3), Ok(()));
    assert_eq!(judge("active", 3, 0, 2), Err(TokenFault::Blacklisted));
    assert_eq!(judge("active", 3, 3, 2), Err(TokenFault::PasswordChanged));
    assert_eq!(judge("active", 4, 3, 3), Err(TokenFault::Blacklisted));
    assert_eq!(judge("suspended", 4, 0, 4), Err(TokenFault::UserInactive));
    assert_eq!(judge("pending", 4, 0, 4), Err(TokenFault::UserInactive));
    assert_eq!(judge("a later release's word", 4, 0, 4), Err(TokenFault::UserInactive));
    assert_eq!(judge("deleted", 4, 0, 4), Err(TokenFault::UserNotFound));
    assert_eq!(judge("suspended", 4, 0, 5), Ok(()), "let in again since");
    assert_eq!(judge("deleted", 0, 0, 5), Err(TokenFault::UserNotFound), "a tombstone has no epochs");
}

#[test]
fn another_life_or_missed_rows_forget_everything() {
    for (row, reads) in [
        (shard("b", 5, Some(1)), "another incarnation"),
        (shard("a", 4, Some(1)), "a head below the cursor"),
        (shard("a", 9, Some(7)), "an oldest row above the cursor"),
        (shard("a", 9, None), "rows that were swept"),
    ] {
        let (mut cache, known) = met();
        cache.apply(10_500, read(&row, &[]));
        assert!(cache.tenant(known.tenant.id, 0).is_none(), "{reads}");
        assert_eq!(cache.cursor(), row.head);
    }
    let (mut cache, known) = met();
    cache.apply(10_500, read(&shard("a", 5, None), &[]));
    assert!(cache.tenant(known.tenant.id, 0).is_some(), "nothing was missed");
}

#[test]
fn a_read_that_was_overtaken_weakens_nothing() {
    let (mut cache, known) = met();
    let (user, sid) = (UserId::new(1, [1; 10]), SessionId::new(0, [1; 16]));
    let (first, second) =
        (user_row(6, &known, user, "active", 1, 0), user_row(7, &known, user, "active", 2, 0));
    cache.apply(10_600, read(&shard("a", 7, Some(1)), &[first.clone(), second]));
    for read_at in [10_500, 10_600] {
        cache.apply(read_at, read(&shard("a", 6, Some(1)), std::slice::from_ref(&first)));
        let judged = cache.judge(known.tenant.id, user, sid, 1);
        assert_eq!(judged, Some(Judgement::Denied(TokenFault::Blacklisted)));
        assert_eq!(cache.cursor(), 7);
    }
}

#[test]
fn a_meeting_that_a_feed_read_overtook_is_held_again() {
    let (mut cache, known) = met();
    cache.apply(10_600, read(&shard("a", 6, Some(1)), &[]));
    assert!(!cache.add_tenant(10_500, &shard("a", 5, Some(1)), known.clone(), NONE));
    assert!(cache.add_tenant(10_700, &shard("a", 6, Some(1)), known, NONE));
}

#[test]
fn of_a_feed_longer_than_a_read_only_what_the_rest_concerns_is_forgotten() {
    let (mut cache, known) = met();
    cache.set_name("slug:acme", Some(known.tenant.id));
    let row = user_row(6, &known, UserId::new(1, [1; 10]), "active", 1, 0);
    let beyond = |tenant: String| vec![BeyondRow { tenant }];
    let other = beyond(TenantId::new(9, [9; 10]).to_string());
    let head = shard("a", 8, Some(1));
    cache.apply(10_500, FeedRead { shard: &head, rows: &[row], beyond: &other });
    assert!(cache.tenant(known.tenant.id, 0).is_some());
    assert_eq!(cache.cursor(), 8);
    let head = shard("a", 9, Some(1));
    cache.apply(10_600, FeedRead { shard: &head, rows: &[], beyond: &beyond(String::new()) });
    assert_eq!(cache.tenant_named("slug:acme"), None);
    assert!(cache.tenant(known.tenant.id, 0).is_some());
    let head = shard("a", 10, Some(1));
    let ours = beyond(known.tenant.id.to_string());
    cache.apply(10_700, FeedRead { shard: &head, rows: &[], beyond: &ours });
    assert!(cache.tenant(known.tenant.id, 0).is_none());
}

#[test]
fn a_crowd_is_asked_about_until_it_is_over() {
    let (mut cache, known) = met();
    let (user, sid) = (UserId::new(1, [1; 10]), SessionId::new(0, [1; 16]));
    let of = |seq, kind| FeedRow { kind, ..user_row(seq, &known, user, "active", 0, 0) };
    let mut judge_after = |row: FeedRow| {
        let head = shard("a", row.seq, Some(1));
        cache.apply(10_500, read(&head, std::slice::from_ref(&row)));
        cache.judge(known.tenant.id, user, sid, 0).unwrap()
    };
    let denied = user_row(6, &known, user, "suspended", 1, 0);
    assert_eq!(judge_after(denied), Judgement::Denied(TokenFault::UserInactive));
    assert_eq!(judge_after(of(7, Kind::Crowd)), Judgement::AskStorage);
    assert_eq!(judge_after(of(8, Kind::Document)), Judgement::AskStorage);
    assert_eq!(judge_after(of(9, Kind::Calm)), Judgement::Good);
}

#[test]
fn a_newer_document_is_told_and_an_older_one_is_left() {
    let (mut cache, known) = met();
    let mut row = user_row(6, &known, UserId::new(1, [1; 10]), "active", 0, 0);
    (row.kind, row.history, row.rev) =
        (Kind::Document, Some(known.tenant.history), Some(known.tenant.doc_rev + 1));
    cache.apply(10_500, read(&shard("a", 6, Some(1)), &[row]));
    assert!(cache.tenant(known.tenant.id, 0).unwrap().1);
    cache.replace_document(known.clone());
    assert!(cache.tenant(known.tenant.id, 0).unwrap().1, "still behind");
}

#[test]
fn the_memory_of_tenants_and_names_is_bounded() {
    let mut cache = ShardCache::default();
    for index in 0..NAMES * 2 {
        cache.set_name(&index.to_string(), None);
    }
    assert!(cache.names.len() <= NAMES);
}
