//! Queries about subclusters.

use capstan_kernel::{
    subcluster::{LaunchStatus, Subcluster, SubclusterId},
    view,
};
use capstan_proto::{
    Answer, Handler,
    v1::{
        QuerySubclusterRequest, QuerySubclusterResponse, QuerySubclustersRequest,
        QuerySubclustersResponse, SubclusterIo, SubclusterVat,
    },
};

use super::{Answered, QueryError, QueryServer, page::Page};

impl Handler<QuerySubclustersRequest> for QueryServer<'_> {
    fn handle(&self, request: QuerySubclustersRequest) -> Answered<QuerySubclustersRequest> {
        let after = match request.after.as_str() {
            "" => 0,
            text => parse(text)?.0,
        };
        // The number of the last one that was read, since its description has it only as text.
        let mut read = after;
        let page = Page::fill(request.limit, self.limits.max_page_bytes, |_| {
            let record = view::subclusters_after(self.state, read, 1)?.pop();
            read = record.as_ref().map_or(read, |record| record.id.0);
            Ok(record.map(describe))
        })?;
        let next = page.next(|last| last.subcluster_id.clone());
        Ok(QuerySubclustersResponse { subclusters: page.entries, next }.into())
    }
}

impl Handler<QuerySubclusterRequest> for QueryServer<'_> {
    fn handle(&self, request: QuerySubclusterRequest) -> Answered<QuerySubclusterRequest> {
        let id = parse(&request.subcluster_id)?;
        let none = || QueryError::not_found("subcluster", id);
        let record = view::subcluster(self.state, id)?.ok_or_else(none)?;
        Ok(Answer::about(describe(record), view::subcluster_key(id)))
    }
}

fn parse(text: &str) -> Result<SubclusterId, QueryError> {
    let refuse = || {
        let problem = format!("{text:?} is not a subcluster: expected s and a number, as in s1");
        QueryError::Malformed(problem)
    };
    SubclusterId::parse(text).ok_or_else(refuse)
}

fn describe(record: Subcluster) -> QuerySubclusterResponse {
    QuerySubclusterResponse {
        subcluster_id: record.id.to_string(),
        name: record.name.unwrap_or_default(),
        owner: record.owner.to_string(),
        status: match record.status {
            LaunchStatus::Launching => "launching",
            LaunchStatus::Running => "running",
        }
        .to_owned(),
        bootstrap: record.bootstrap.unwrap_or_default(),
        vats: record
            .vats
            .into_iter()
            .map(|(name, vat)| SubclusterVat { name, vat_id: vat.to_string() })
            .collect(),
        services: record.services,
        io: record
            .io
            .into_iter()
            .map(|(name, io)| SubclusterIo { name, direction: io.direction.as_str().to_owned() })
            .collect(),
        bootstrap_result: record.bootstrap_result.map(|p| p.to_string()).unwrap_or_default(),
    }
}
