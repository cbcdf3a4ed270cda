//! From a request's body to a job that waits.

use std::sync::Arc;

use axum::extract::Request;
use tokio::time::timeout;

use crate::app::App;
use crate::decode::Pictures;
use crate::error::{ApiError, Code};
use crate::job::Job;
use crate::multipart::{Form, announced_length, stalled};
use crate::queue::Task;
use crate::settings::Settings;

/// What a job is submitted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// One result, in the answer to the request.
    Answer,
    /// Results to be asked for by the job's id.
    Job,
}

/// Reads, checks and queues a job.
pub(crate) async fn submit(
    app: &Arc<App>,
    request: Request,
    purpose: Purpose,
) -> Result<Arc<Job>, ApiError> {
    app.queue.check_room()?;
    let length = announced_length(&request, &app.limits)?;
    let memory = app.uploads.reserve(length).await?;
    let form = timeout(app.limits.upload_time, Form::read(request, &app.limits)).await;
    let form = form.map_err(|_| stalled())??;
    let settings = Settings::parse(form.settings.as_deref())?;
    if purpose == Purpose::Answer && settings.candidates() > 1 {
        return Err(ApiError::new(
            Code::BadSettings,
            "settings: /v1/inpaint answers with one picture; ask for more candidates with \
             /v1/jobs",
        ));
    }
    let model = settings.model(&app.models)?;
    let (sampler, steps) = settings.sampler(&app.models[model])?;
    let detail = settings.detail()?;
    let wanted = settings.pictures()?;
    let resolution = app.models[model].resolution;
    let limits = app.limits.picture();
    let permit = app.decoding_permit().await?;
    let decoded = tokio::task::spawn_blocking(move || {
        // Until the work is done, whether or not anyone still waits for it.
        let _held = permit;
        let pictures = Pictures::decode(&form, wanted, &limits)?;
        let regions = pictures.regions(resolution, detail);
        Ok::<_, ApiError>((pictures, regions))
    });
    let decoded = decoded.await.map_err(|_| ApiError::internal());
    drop(memory);
    let (pictures, regions) = decoded??;
    let job = Job::new(
        (pictures.photo.width(), pictures.photo.height()),
        settings.seeds(),
        steps * regions.len(),
        settings.previews(),
        pictures.notes(),
        Arc::clone(&app.metrics),
    );
    let task = Task {
        job: Arc::clone(&job),
        model,
        sampler,
        detail,
        pictures,
        regions,
    };
    if purpose == Purpose::Job {
        // Before the worker can be done with it, so that no job is ever unknown.
        app.store.insert(Arc::clone(&job));
    }
    app.queue
        .push(task)
        .inspect_err(|_| app.store.forget(job.id))?;
    Ok(job)
}
