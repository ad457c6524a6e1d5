//! What `sql:` lookups see: entities, and relations from both ends.

use sqlx::PgPool;

use crate::database::{Fresh, fresh};
use crate::directory::{Directory, component};

async fn filled() -> Fresh {
    let fresh = fresh().await;
    let on = "owner: payments, dependsOn: [orders-db, cart, nobody, 'component:cart']";
    let resource = "---\napiVersion: backstage.io/v1alpha1\nkind: Resource\nmetadata: {name: orders-db, title: Orders}\nspec: {type: database, owner: payments}\n";
    let directory = Directory::with(&[
        ("pay.yaml", &component("pay", "payments").replace("owner: payments", on)),
        ("cart.yaml", &format!("{}{resource}", component("cart", "checkout"))),
    ]);
    directory.import(&fresh.pool).await;
    fresh
}

async fn texts(db: &PgPool, sql: &'static str) -> Vec<String> {
    sqlx::query_scalar(sql).fetch_all(db).await.unwrap()
}

#[tokio::test]
async fn relations_are_seen_from_both_ends_and_bare_names_find_whom_they_mean() {
    let fresh = filled().await;
    let of_pay = "select kind || ' ' || target from idp.relation
                  where ref = 'component:default/pay' order by 1";
    assert_eq!(
        texts(&fresh.pool, of_pay).await,
        [
            "dependsOn component:default/cart",
            "dependsOn component:default/nobody",
            "dependsOn resource:default/orders-db",
            "ownedBy group:default/payments",
        ]
    );
    let to_pay = "select ref || ' ' || kind from idp.relation
                  where target = 'component:default/pay' order by 1";
    assert_eq!(
        texts(&fresh.pool, to_pay).await,
        [
            "component:default/cart dependencyOf",
            "component:default/nobody dependencyOf",
            "group:default/payments ownerOf",
            "resource:default/orders-db dependencyOf",
        ]
    );
}

#[tokio::test]
async fn entities_have_their_fields_as_columns() {
    let fresh = filled().await;
    let databases = "select concat_ws(' ', kind, namespace, name, title, type, file, line)
                     from idp.entity where spec ->> 'type' = 'database'";
    let found = texts(&fresh.pool, databases).await;
    assert_eq!(found, ["resource default orders-db Orders database cart.yaml 7"]);
}

#[tokio::test]
async fn the_reader_sees_the_catalog_and_nothing_else() {
    let fresh = filled().await;
    let mut tx = fresh.pool.begin().await.unwrap();
    sqlx::raw_sql("set local role idp_reader").execute(&mut *tx).await.unwrap();
    for seen in ["entity", "relation", "change", "problem", "source"] {
        let sql = sqlx::AssertSqlSafe(format!("select count(*) from idp.{seen}"));
        sqlx::query_scalar::<_, i64>(sql).fetch_one(&mut *tx).await.unwrap();
    }
    let refused = sqlx::raw_sql("delete from idp.change").execute(&mut *tx).await.unwrap_err();
    assert!(refused.to_string().contains("permission denied"), "{refused}");
}
