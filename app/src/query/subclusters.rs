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

use super::{Answered, QueryError, QueryServer, page::page_size};

impl Handler<QuerySubclustersRequest> for QueryServer<'_> {
    fn handle(&self, request: QuerySubclustersRequest) -> Answered<QuerySubclustersRequest> {
        let after = match request.after.as_str() {
            "" => 0,
            text => parse(text)?.0,
        };
        let size = page_size(request.limit);
        let mut records = view::subclusters_after(self.state, after, size + 1)?;
        let has_more = records.len() > size;
        records.truncate(size);
        let next = match records.last() {
            Some(last) if has_more => last.id.to_string(),
            _ => String::new(),
        };
        let subclusters = records.into_iter().map(describe).collect();
        Ok(QuerySubclustersResponse { subclusters, next }.into())
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
